// The connections of callers: a bounded number, by our own listener, which hands them to grpc-js. What a connection has been given to send and
// has not taken is counted: one that takes nothing for too long is closed, and one that has much to take gets nothing more meanwhile.
import { createServer, type Server as Listening, type Socket } from "node:net";
import type { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { CortexError } from "../errors/reasons.js";

interface ListenOptions {
  listen: string;
  connectionsMax: number;
  stallSeconds: number;
}

/** The address to serve on cannot be had; the message says which and why. */
export class ListenError extends Error {}

const unsentBytesMax = 64 * 1024 * 1024; // of one connection
const largeBytes = 16 * 1024;
const warnMs = 10_000;
const prefaceBytes = 24; // with which every HTTP/2 connection begins
const prefaceMsMax = 10_000;

/** A call, as far as it says whose connection it is on. */
export interface Peer {
  getPeer(): string;
}

interface Connected {
  socket: Socket;
  /** Bytes of replies that it has not taken. */
  unsent: number;
  /** Replies that it has not taken. */
  replies: number;
  stall: NodeJS.Timeout | undefined;
}

export class Listener {
  readonly #connected = new Map<string, Connected>();
  readonly #listening: Listening;
  #warned = Number.NEGATIVE_INFINITY;
  /** Of all connections. */
  #unsent = 0;

  constructor(
    readonly options: ListenOptions,
    readonly log: Logger,
  ) {
    this.#listening = createServer({ noDelay: true });
    this.#listening.maxConnections = options.connectionsMax;
    this.#listening.on("drop", () =>
      this.#refusing(
        { limit: options.connectionsMax },
        "connections are refused: there are too many",
      ),
    );
  }

  /** Says so at most every ten seconds. */
  #refusing(details: object, message: string): void {
    const now = performance.now();
    if (now - this.#warned < warnMs) return;
    this.#warned = now;
    this.log.warn(details, message);
  }

  /** Listens, and gives what comes to the server; the port. */
  serve(server: Server, credentials: ServerCredentials): Promise<number> {
    const injector = server.createConnectionInjector(credentials);
    this.#listening.on("connection", (socket) => {
      const name = `${socket.remoteAddress}:${socket.remotePort}`; // as getPeer() of a call
      const connected = { socket, unsent: 0, replies: 0, stall: undefined };
      this.#connected.set(name, connected);
      const silent = setTimeout(() => {
        if (socket.bytesRead < prefaceBytes) socket.destroy();
      }, prefaceMsMax).unref();
      socket.once("close", () => {
        clearTimeout(silent);
        this.#forget(name, connected);
      });
      injector.injectConnection(socket);
    });
    const { listen } = this.options;
    const [, host = "", port] = /^\[?(.*?)\]?:(\d+)$/.exec(listen) ?? [];
    return new Promise((resolve, reject) => {
      // Also later, when the system cannot give a connection: an error without a listener would end the process.
      this.#listening.on("error", (error: NodeJS.ErrnoException) => {
        reject(new ListenError(`cannot listen on ${listen}: ${error.code}`));
        if (this.#listening.listening)
          this.#refusing({ err: error }, "a connection cannot be taken");
      });
      this.#listening.listen({ host, port: Number(port) }, () =>
        resolve((this.#listening.address() as { port: number }).port),
      );
    });
  }

  /** Takes no more connections. Those that are open stay. */
  close(): void {
    this.#listening.close();
  }

  /** Refuses a call, or a reply, of a connection that has not taken what it was given. */
  admit(caller: Peer, bytes = 0): void {
    if (this.#unsent === 0) return; // nearly always: who is calling is asked only where somebody has something to take
    const unsent = this.#connected.get(caller.getPeer())?.unsent ?? 0;
    if (unsent > 0 && unsent + bytes > unsentBytesMax)
      throw new CortexError("OVERLOADED", {
        applied: "no",
        problem: "too many bytes of replies wait to be read",
        limit: `${unsentBytesMax}`,
        retry_after_ms: "1000",
      });
  }

  /** How many bytes a connection has taken in all. */
  taken(caller: Peer): number {
    return this.#connected.get(caller.getPeer())?.socket.bytesWritten ?? 0;
  }

  /** A reply is on its way: to be told when it has been taken. A connection that takes nothing meanwhile is closed. */
  sending(caller: Peer, bytes: number): (() => void) | undefined {
    if (bytes < largeBytes) return undefined; // as many of these as a connection can carry take little room
    const peer = caller.getPeer();
    const connected = this.#connected.get(peer);
    if (!connected) return undefined;
    const count = (bytes: number, replies: number) => {
      connected.unsent += bytes;
      connected.replies += replies;
      this.#unsent += bytes;
    };
    count(bytes, 1);
    connected.stall ??= this.#watch(peer, connected, 0);
    let waits = true;
    return () => {
      if (waits) count(-bytes, -1);
      waits = false;
    };
  }

  /** Looks again and again, as long as a reply is on its way. At the second look without a byte taken it is closed: streams are told before. */
  #watch(peer: string, connected: Connected, idle: number): NodeJS.Timeout {
    const { socket } = connected;
    const before = socket.bytesWritten;
    return setTimeout(() => {
      connected.stall = undefined;
      if (connected.replies === 0) return;
      const still = socket.bytesWritten === before ? idle + 1 : 0;
      if (still < 2) {
        connected.stall = this.#watch(peer, connected, still);
        return;
      }
      this.log.info({ peer }, "a connection is closed: its reader takes nothing");
      socket.destroy();
    }, this.options.stallSeconds * 1000).unref();
  }

  #forget(name: string, connected: Connected): void {
    clearTimeout(connected.stall);
    if (this.#connected.get(name) === connected) this.#connected.delete(name);
  }
}

// The connections of callers. Our own listener bounds their number and hands them to grpc-js. It counts the
// bytes of replies that each connection has not taken. A connection that takes nothing for too long is
// closed. A connection with too many such bytes gets no further replies until it takes some.
import { createServer, type Server as Listening, type Socket } from "node:net";
import type { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { CortexError } from "../errors/reasons.js";
import { ResetGuard, type ResetOptions } from "./reset-guard.js";

interface ListenOptions extends ResetOptions {
  listen: string;
  connectionsMax: number;
  stallSeconds: number;
}

const problems: Record<string, string> = {
  EADDRINUSE: "another program listens there: stop it, or give another --listen",
  EADDRNOTAVAIL: "this machine has no such address: give another --listen",
  ENOTFOUND: "the host is unknown: give another --listen",
  EACCES: "this user may not listen there: give another --listen, with a port above 1023",
};

/** The server cannot listen on its address; the message says why. */
export class ListenError extends Error {}

const unsentBytesMax = 64 * 1024 * 1024; // for each connection
const largeBytes = 16 * 1024;
const warnMs = 10_000;
const prefaceBytes = 24; // size of the preface with which every HTTP/2 connection begins
const prefaceMsMax = 10_000;

/** The part of a call that says which connection it is on. */
export interface Peer {
  getPeer(): string;
}

interface Connected {
  socket: Socket;
  /** Bytes of the replies that it has not taken. */
  unsent: number;
  /** How many replies the connection has not taken. */
  replies: number;
  stall: NodeJS.Timeout | undefined;
}

export class Listener {
  readonly #connected = new Map<string, Connected>();
  readonly #listening: Listening;
  readonly #resets: ResetGuard;
  #warned = Number.NEGATIVE_INFINITY;
  /** The sum for all connections. */
  #unsent = 0;

  constructor(
    readonly options: ListenOptions,
    readonly log: Logger,
  ) {
    this.#resets = new ResetGuard(options, log);
    this.#listening = createServer({ noDelay: true });
    this.#listening.maxConnections = options.connectionsMax;
    this.#listening.on("drop", () =>
      this.#warn({ limit: options.connectionsMax }, "connections are refused: there are too many"),
    );
  }

  /** Logs a warning, at most one in ten seconds. */
  #warn(details: object, message: string): void {
    const now = performance.now();
    if (now - this.#warned < warnMs) return;
    this.#warned = now;
    this.log.warn(details, message);
  }

  /** Listens, and gives each connection to the server. Returns the port. */
  serve(server: Server, credentials: ServerCredentials): Promise<number> {
    const injector = server.createConnectionInjector(credentials);
    this.#resets.guard(server);
    this.#listening.on("connection", (socket) => {
      if (this.#resets.keepsOut(socket.remoteAddress)) return socket.destroy();
      const name = `${socket.remoteAddress}:${socket.remotePort}`; // the same text as getPeer() of a call
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
      // This error handler stays: later the system may fail to accept a connection, and an error without a
      // handler would end the process.
      this.#listening.on("error", (error: NodeJS.ErrnoException) => {
        reject(
          new ListenError(
            `cannot listen on ${listen}: ${problems[error.code ?? ""] ?? error.code}`,
          ),
        );
        if (this.#listening.listening) this.#warn({ err: error }, "a connection cannot be taken");
      });
      this.#listening.listen({ host, port: Number(port) }, () =>
        resolve((this.#listening.address() as { port: number }).port),
      );
    });
  }

  /** Accepts no more connections. Open ones stay. */
  close(): void {
    this.#listening.close();
  }

  /** Throws OVERLOADED for a call, or a reply of `bytes`, if its connection has too many unsent bytes. */
  admit(caller: Peer, bytes = 0): void {
    if (this.#unsent === 0) return; // nearly always; getPeer() is not free
    const unsent = this.#connected.get(caller.getPeer())?.unsent ?? 0;
    if (unsent > 0 && unsent + bytes > unsentBytesMax)
      throw new CortexError("OVERLOADED", {
        applied: "no",
        problem: "too many bytes of replies wait to be read",
        limit: `${unsentBytesMax}`,
        retry_after_ms: "1000",
      });
  }

  /** How many bytes the call's connection has taken in all. */
  bytesTaken(caller: Peer): number {
    return this.#connected.get(caller.getPeer())?.socket.bytesWritten ?? 0;
  }

  /**
   * Counts a reply as unsent; the caller calls the returned function once it was taken. Closes a connection
   * that takes nothing.
   */
  sending(caller: Peer, bytes: number): (() => void) | undefined {
    // Small replies are not counted: one connection cannot have so many that they need much memory.
    if (bytes < largeBytes) return undefined;
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

  /**
   * Checks the connection every `stallSeconds` while replies wait. Closes it when two checks in a row find no
   * byte taken. Its streams end with SLOW_READER before.
   */
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

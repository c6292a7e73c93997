// The connections of callers. Our own listener bounds their number and hands them to grpc-js. It counts the
// bytes of replies that each connection has not taken. A connection that takes nothing for too long is
// closed. A connection with too many such bytes gets no further replies until it takes some.
import { createServer, type Server as Listening, type Socket } from "node:net";
import type { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { CallGuard, type GuardOptions } from "./call-guard.js";
import { UnsentBytes } from "./unsent-bytes.js";

interface ListenOptions extends GuardOptions {
  listen: string;
  connectionsMax: number;
  stallSeconds: number;
  unsentBytesMax: number;
}

const problems: Record<string, string> = {
  EADDRINUSE: "another program listens there: stop it, or give another --listen",
  EADDRNOTAVAIL: "this machine has no such address: give another --listen",
  ENOTFOUND: "the host is unknown: give another --listen",
  EACCES: "this user may not listen there: give another --listen, with a port above 1023",
};

/** The server cannot listen on its address; the message says why. */
export class ListenError extends Error {}

const largeBytes = 16 * 1024;
const messageBytes = 1024 * 1024; // about what the largest messages of a stream take
const warnMs = 10_000;
const prefaceBytes = 24; // size of the preface with which every HTTP/2 connection begins
const prefaceMsMax = 10_000;

/** The part of a call that says which connection it is on. */
export interface Peer {
  getPeer(): string;
}

interface Connected {
  socket: Socket;
  /** How many replies the connection has not taken. */
  replies: number;
  stall: NodeJS.Timeout | undefined;
}

export class Listener {
  readonly #connected = new Map<string, Connected>();
  readonly #listening: Listening;
  readonly #guard: CallGuard;
  #warned = Number.NEGATIVE_INFINITY;
  readonly #unsent: UnsentBytes;

  constructor(
    readonly options: ListenOptions,
    readonly log: Logger,
  ) {
    this.#unsent = new UnsentBytes(options.unsentBytesMax);
    this.#guard = new CallGuard(options, log);
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
    this.#guard.guard(server);
    this.#listening.on("connection", (socket) => {
      if (this.#guard.keepsOut(socket.remoteAddress)) return socket.destroy();
      const name = `${socket.remoteAddress}:${socket.remotePort}`; // the same text as getPeer() of a call
      const connected = { socket, replies: 0, stall: undefined };
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

  /** Throws OVERLOADED for a call, or a reply of `bytes`, if too many bytes of replies are not taken. */
  admit(caller: Peer, tenant: string, bytes = 0): void {
    if (this.#unsent.isEmpty) return; // nearly always; getPeer() is not free
    const refusal = this.#unsent.refusal({ peer: caller.getPeer(), tenant }, bytes);
    if (refusal) throw refusal;
  }

  /** Waits until there is room for the next message of a stream; the returned function gives it back. */
  room(caller: Peer, tenant: string, signal: AbortSignal): Promise<() => void> {
    const reader = { peer: caller.getPeer(), tenant };
    const seconds = this.options.stallSeconds;
    return this.#unsent.room(reader, messageBytes, { seconds, signal });
  }

  /** Counts a call that was refused, before it cost its tenant anything. */
  refused(peer: string): void {
    this.#guard.refused(peer);
  }

  /** How many bytes the call's connection has taken in all. */
  bytesTaken(caller: Peer): number {
    return this.#connected.get(caller.getPeer())?.socket.bytesWritten ?? 0;
  }

  /**
   * Counts a reply as unsent; the caller calls the returned function once it was taken. Closes a connection
   * that takes nothing.
   */
  sending(caller: Peer, tenant: string, bytes: number): (() => void) | undefined {
    // Small replies are not counted: one connection cannot have so many that they need much memory.
    if (bytes < largeBytes) return undefined;
    const peer = caller.getPeer();
    const connected = this.#connected.get(peer);
    if (!connected) return undefined;
    const release = this.#unsent.count({ peer, tenant }, bytes);
    connected.replies++;
    connected.stall ??= this.#watch(peer, connected, 0);
    let waits = true;
    return () => {
      release();
      if (waits) connected.replies--;
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

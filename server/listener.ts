// The connections of callers: a bounded number, by our own listener, which hands them to grpc-js. What a connection has been given to send and
// has not taken is counted: one that takes nothing for too long is closed, and one that has much to take gets nothing more meanwhile.
import { createServer, type Server as Listening, type Socket } from "node:net";
import type { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { CortexError } from "./errors.js";

export interface ListenOptions {
  listen: string;
  connectionsMax: number;
  stallSeconds: number;
}

/** The address to serve on cannot be had; the message says which and why. */
export class ListenError extends Error {}

const unsentBytesMax = 64 * 1024 * 1024; // of one connection
const warnMs = 10_000;

interface Connected {
  socket: Socket;
  unsent: number;
}

export class Listener {
  readonly #connected = new Map<string, Connected>();
  readonly #listening: Listening;
  #warned = Number.NEGATIVE_INFINITY;

  constructor(
    readonly options: ListenOptions,
    readonly log: Logger,
  ) {
    this.#listening = createServer({ noDelay: true });
    this.#listening.maxConnections = options.connectionsMax;
    this.#listening.on("drop", () => {
      const now = performance.now();
      if (now - this.#warned < warnMs) return;
      this.#warned = now;
      log.warn({ limit: options.connectionsMax }, "connections are refused: there are too many");
    });
  }

  /** Listens, and gives what comes to the server; the port. */
  serve(server: Server, credentials: ServerCredentials): Promise<number> {
    const injector = server.createConnectionInjector(credentials);
    this.#listening.on("connection", (socket) => {
      const name = `${socket.remoteAddress}:${socket.remotePort}`; // as getPeer() of a call
      this.#connected.set(name, { socket, unsent: 0 });
      socket.once("close", () => this.#connected.delete(name));
      injector.injectConnection(socket);
    });
    const { listen } = this.options;
    const [, host = "", port] = /^\[?(.*?)\]?:(\d+)$/.exec(listen) ?? [];
    return new Promise((resolve, reject) => {
      this.#listening.once("error", (error: NodeJS.ErrnoException) =>
        reject(new ListenError(`cannot listen on ${listen}: ${error.code}`)),
      );
      this.#listening.listen({ host, port: Number(port) }, () =>
        resolve((this.#listening.address() as { port: number }).port),
      );
    });
  }

  /** Takes no more connections. Those that are open stay. */
  close(): void {
    this.#listening.close();
  }

  /** Refuses a call of a connection that has not taken what it was given. */
  admit(peer: string): void {
    const unsent = this.#connected.get(peer)?.unsent ?? 0;
    if (unsent > unsentBytesMax)
      throw new CortexError("OVERLOADED", {
        applied: "no",
        limit: `${unsentBytesMax} bytes that were not read`,
        retry_after_ms: "1000",
      });
  }

  /** A reply is on its way: to be told when it has been taken. A connection that does not take it is closed. */
  sending(peer: string, bytes: number): () => void {
    const connected = this.#connected.get(peer);
    if (!connected) return () => {};
    connected.unsent += bytes;
    const timer = setTimeout(() => {
      this.log.info({ peer }, "a connection is closed: its reader takes nothing");
      connected.socket.destroy();
    }, this.options.stallSeconds * 1000).unref();
    return () => {
      clearTimeout(timer);
      connected.unsent -= bytes;
    };
  }
}

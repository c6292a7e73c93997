// The connection to the server: it is opened when it is first needed, and again after it was lost.
import { setMaxListeners } from "node:events";
import { Client, connectivityState, type Interceptor, Metadata, status } from "@grpc/grpc-js";
import { isLoopback, proxyOf } from "./address.js";
import { channelOf, type Security } from "./credentials.js";
import { CortexError, type ErrorDetails } from "./error.js";
import { abortable, cancelled, checkSignal, ignore } from "./retry.js";
import { tlsProblem } from "./tls-problem.js";
import { WaitingConnections } from "./waiting-connections.js";

const waitMs = 250;
const askMs = 250;

export class Connection {
  readonly grpc: Client;
  /** Those for calls that wait for what others do. */
  readonly waiting: WaitingConnections<Connection>;
  readonly #closing = new AbortController();
  /** The search for a mistake in TLS that is under way: one for all calls that wait. */
  #tlsProblem: Promise<string | undefined> | undefined;

  constructor(
    readonly address: string,
    readonly tls: Security["tls"],
    interceptors: readonly Interceptor[] = [],
  ) {
    this.waiting = new WaitingConnections(() => {
      this.closing.throwIfAborted();
      return new Connection(address, tls, interceptors);
    });
    setMaxListeners(0, this.closing); // one for each watch
    this.grpc = new Client(address, channelOf(tls), {
      ...(typeof tls === "object" &&
        tls.serverName !== undefined && {
          "grpc.ssl_target_name_override": tls.serverName,
          "grpc.default_authority": tls.serverName,
        }),
      ...(interceptors.length > 0 && { interceptors: [...interceptors] }),
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1, // its own connection, apart from other clients
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
      "grpc.keepalive_time_ms": 60_000,
      ...(isLoopback(address) && { "grpc.enable_http_proxy": 0 }),
    });
  }

  close(): void {
    this.#closing.abort(new CortexError("CANCELLED", "the client is closed", { applied: "no" }));
    this.grpc.close();
    this.waiting.close();
  }

  /** Aborts when it is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  get isClosed(): boolean {
    return this.closing.aborted;
  }

  /** Waits for a connection before a call is sent. If it fails, the call has not reached the server. */
  async ready(deadline: Date, signal: AbortSignal | undefined): Promise<void> {
    checkSignal(signal);
    if (signal?.aborted) throw cancelled(signal);
    for (let slices = 0; this.#state(!this.isClosed) !== connectivityState.READY; slices++) {
      if (this.isClosed) break;
      const now = Date.now();
      if (now >= deadline.getTime()) throw await this.#unreachable();
      // If TLS is what keeps the client from its server, to wait longer does not help.
      const problem = slices > 0 ? this.#findTlsProblem() : undefined;
      // Waits in short slices, so that no timer stays for long after a cancel or close().
      const slice = new Date(Math.min(now + waitMs, deadline.getTime()));
      await abortable<void>(signal, ignore, (resolve, reject) => {
        this.grpc.waitForReady(slice, () => resolve());
        problem?.then((tls) => {
          if (tls !== undefined) reject(this.#noServer(tls, { tls }));
        });
      });
    }
    this.closing.throwIfAborted();
  }

  /** The error UNAVAILABLE if no server can be reached; undefined if one can, or the client is closed. */
  async missing(): Promise<unknown> {
    if (this.isClosed) return undefined;
    const soon = new Date(Date.now() + waitMs);
    return this.ready(soon, undefined).then(
      () => undefined,
      (error: unknown) => (this.isClosed ? undefined : error),
    );
  }

  #state(tryToConnect: boolean): connectivityState {
    return this.grpc.getChannel().getConnectivityState(tryToConnect);
  }

  #findTlsProblem(): Promise<string | undefined> {
    this.#tlsProblem ??= this.#searchTlsProblem().finally(() => {
      this.#tlsProblem = undefined;
    });
    return this.#tlsProblem;
  }

  async #searchTlsProblem(): Promise<string | undefined> {
    // If a proxy stands between, a handshake with the server itself would say nothing.
    if (proxyOf(this.address)) return undefined;
    return tlsProblem(this.address, this.tls).catch(() => undefined); // nothing is found
  }

  /** Makes a call that does not wait for a connection, because that call fails with the reason. */
  async #unreachable(): Promise<CortexError> {
    const problem = await new Promise<string | undefined>((resolve) => {
      const same = (bytes: Buffer) => bytes;
      const options = { deadline: Date.now() + askMs };
      const done = (error: { code: number; details: string } | null) =>
        resolve(error?.code === status.UNAVAILABLE ? inOneLine(error.details) : undefined);
      this.grpc.makeUnaryRequest("/", same, same, Buffer.alloc(0), new Metadata(), options, done);
    });
    return this.#noServer(problem);
  }

  #noServer(problem: string | undefined, details: ErrorDetails = {}): CortexError {
    const proxy = proxyOf(this.address);
    const at = `${this.address}${proxy ? ` through the proxy ${proxy}` : ""}`;
    const message = `no server can be reached at ${at}${problem ? `: ${problem}` : ""}`;
    return new CortexError("UNAVAILABLE", message, {
      address: this.address,
      applied: "no",
      ...details,
    });
  }
}

/** The text of gRPC without what only its developers need. */
const inOneLine = (details: string) =>
  details
    .replace(/^No connection established\. Last error: (Error: )?/, "")
    .replace(/\s*\.? ?Resolution note: $/, "")
    .replace(/ \(\d{4}-[^)]*Z\)/g, "")
    .replace(/^undefined$/, "")
    .split("\n")[0];

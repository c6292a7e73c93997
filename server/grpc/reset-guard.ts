// Bounds how many calls a caller may reset. HTTP/2 bounds only the calls that are open, so whoever resets each
// call at once could open any number. A connection with too many resets is closed. An address with too many
// is kept out for a while.
import { constants, type ServerHttp2Session } from "node:http2";
import { isIPv6 } from "node:net";
import type { Server } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { http2ServerOf, type StreamListener } from "./patches.js";

export interface ResetOptions {
  resetsMax: number;
  resetsPerAddressMax: number;
  keepOutSeconds: number;
}

const windowMs = 10_000;
const warnMs = 10_000;
const networksMax = 10_000; // beyond it the one whose last reset is oldest is forgotten

/** Counts resets in windows of ten seconds. */
class ResetCount {
  #since = Number.NEGATIVE_INFINITY;
  #resets = 0;

  /** Counts a reset. Returns the number of this window. */
  add(now: number): number {
    if (now - this.#since >= windowMs) {
      this.#since = now;
      this.#resets = 0;
    }
    return ++this.#resets;
  }
}

interface Network {
  resets: ResetCount;
  keptOutUntil: number;
}

interface Connection {
  session: ServerHttp2Session;
  address: string | undefined;
  resets: ResetCount;
}

export class ResetGuard {
  /** By network, the last reset last. */
  readonly #networks = new Map<string, Network>();
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(
    readonly options: ResetOptions,
    readonly log: Logger,
  ) {}

  /** True if new connections of the address are refused now. */
  keepsOut(address: string | undefined): boolean {
    if (address === undefined || this.#networks.size === 0) return false;
    const network = this.#networks.get(networkOf(address));
    return network !== undefined && performance.now() < network.keptOutUntil;
  }

  /**
   * Counts the resets on all connections of a server. Its calls start at the end of the turn of the event loop
   * in which they arrive. Then the packet of a call is read to its end, and a call that it resets is dropped.
   */
  guard(server: Server): void {
    const http2 = http2ServerOf(server);
    const [start] = http2.listeners("stream") as [StreamListener];
    http2.removeListener("stream", start);
    const connections = new WeakMap<object, Connection>();
    http2.on("session", (session) => {
      const { remoteAddress } = session.socket;
      connections.set(session, { session, address: remoteAddress, resets: new ResetCount() });
    });
    let arrived: Parameters<StreamListener>[] = [];
    const startAll = () => {
      const calls = arrived;
      arrived = [];
      for (const call of calls) {
        const [stream] = call;
        if (stream.destroyed) continue;
        start(...call);
        // Node has told the end of a request without a message before grpc-js listened.
        if (stream.readableEnded) stream.emit("end");
      }
    };
    http2.on("stream", (...call: Parameters<StreamListener>) => {
      const [stream] = call;
      const connection = stream.session && connections.get(stream.session);
      stream.on("error", () => {}); // grpc-js listens only once the call starts
      stream.once("aborted", () => {
        // The streams of a connection that the server closes are aborted too.
        if (connection && !connection.session.destroyed) this.#count(connection);
      });
      if (arrived.push(call) === 1) setImmediate(startAll);
    });
  }

  #count({ session, address, resets }: Connection): void {
    const { resetsMax, resetsPerAddressMax } = this.options;
    const now = performance.now();
    const isKeptOut = resetsPerAddressMax > 0 && address && this.#countAddress(address, now);
    const isOver = resets.add(now) > resetsMax;
    if (isOver && now - this.#warnedAt >= warnMs) {
      this.#warnedAt = now;
      this.log.warn(
        { address, limit: resetsMax },
        "a connection is closed: it resets too many calls",
      );
    }
    if (isOver || isKeptOut) setImmediate(close, session);
  }

  /** True if the address is kept out. */
  #countAddress(address: string, now: number): boolean {
    const { resetsPerAddressMax, keepOutSeconds } = this.options;
    const name = networkOf(address);
    const network = this.#networks.get(name) ?? { resets: new ResetCount(), keptOutUntil: 0 };
    this.#networks.delete(name);
    this.#networks.set(name, network);
    const [oldest] = this.#networks.keys();
    if (this.#networks.size > networksMax && oldest !== undefined) this.#networks.delete(oldest);
    if (now < network.keptOutUntil) return true;
    if (network.resets.add(now) <= resetsPerAddressMax) return false;
    network.resets = new ResetCount();
    network.keptOutUntil = now + keepOutSeconds * 1000;
    this.log.warn(
      { address, limit: resetsPerAddressMax, seconds: keepOutSeconds },
      "an address is kept out: it resets too many calls",
    );
    return true;
  }
}

/**
 * Closes a connection. It must not run while Node reads a packet of the connection: Node 20 then sometimes
 * fills its memory without end.
 */
function close(session: ServerHttp2Session): void {
  if (session.destroyed) return;
  session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  session.destroy();
}

/** The first 64 bits of an IPv6 address, because one machine may have all addresses behind them. */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.includes(".")) return address; // ::ffff:192.0.2.1 is an IPv4 address
  const [head = [], tail = []] = address.split("::").map((part) => part.split(":").filter(Boolean));
  const zeros = Array(Math.max(0, 8 - head.length - tail.length)).fill("0");
  return [...head, ...zeros, ...tail].slice(0, 4).join(":");
}

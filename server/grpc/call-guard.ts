// Bounds what a caller costs whose calls come to nothing. HTTP/2 bounds only the calls that are open, so
// whoever resets each call at once could open any number; and a call that is refused for want of credentials
// is in nobody's rate. A connection with too many such calls is closed. An address with too many is kept out
// for a while. Calls of health and reflection need no credentials, so a connection may have few of them open.
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { isIPv6 } from "node:net";
import type { Server } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { isPublic } from "../auth/interceptor.js";
import { CortexError } from "../errors/reasons.js";
import { hasMethod, http2ServerOf, refuse, type StreamListener } from "./patches.js";

export interface GuardOptions {
  resetsMax: number;
  resetsPerAddressMax: number;
  keepOutSeconds: number;
}

const windowMs = 10_000;
const warnMs = 10_000;
const networksMax = 10_000; // beyond it the one that was counted last longest ago is forgotten
const publicCallsMax = 8; // of a connection at a time: a watch of its health, checks, a tool that asks for descriptors

/** Counts lost calls in windows of ten seconds. */
class LostCalls {
  #since = Number.NEGATIVE_INFINITY;
  #count = 0;

  /** Counts a call. Returns the number of this window. */
  add(now: number): number {
    if (now - this.#since >= windowMs) {
      this.#since = now;
      this.#count = 0;
    }
    return ++this.#count;
  }
}

interface Network {
  lost: LostCalls;
  keptOutUntil: number;
}

interface Connection {
  session: ServerHttp2Session;
  address: string | undefined;
  lost: LostCalls;
  publicCalls: number;
}

export class CallGuard {
  /** By network, the one that was counted last comes last. */
  readonly #networks = new Map<string, Network>();
  /** By the text that getPeer() of a call gives. */
  readonly #connections = new Map<string, Connection>();
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(
    readonly options: GuardOptions,
    readonly log: Logger,
  ) {}

  /** True if new connections of the address are refused now. */
  keepsOut(address: string | undefined): boolean {
    if (address === undefined || this.#networks.size === 0) return false;
    const network = this.#networks.get(networkOf(address));
    return network !== undefined && performance.now() < network.keptOutUntil;
  }

  /**
   * Guards all connections of a server. Its calls start at the end of the turn of the event loop in which they
   * arrive. Then the packet of a call is read to its end, and a call that it resets is dropped.
   */
  guard(server: Server): void {
    const http2 = http2ServerOf(server);
    const [start] = http2.listeners("stream") as [StreamListener];
    http2.removeListener("stream", start);
    const connections = new WeakMap<object, Connection>();
    http2.on("session", (session) => {
      const { remoteAddress, remotePort } = session.socket;
      const connection = {
        session,
        address: remoteAddress,
        lost: new LostCalls(),
        publicCalls: 0,
      };
      const peer = `${remoteAddress}:${remotePort}`;
      connections.set(session, connection);
      this.#connections.set(peer, connection);
      session.once("close", () => {
        if (this.#connections.get(peer) === connection) this.#connections.delete(peer);
      });
    });
    let arrived: Parameters<StreamListener>[] = [];
    const startAll = () => {
      const calls = arrived;
      arrived = [];
      for (const call of calls) {
        const [stream, { ":path": path = "", "content-type": type = "" }, , rawHeaders] = call;
        if (stream.destroyed) continue;
        const connection = stream.session && connections.get(stream.session);
        const isAnswered = hasMethod(server, path) && type.startsWith("application/grpc");
        if (connection && !isAnswered) this.#count(connection);
        else if (connection && !this.#admit(connection, stream, path, rawHeaders)) continue;
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

  /** Counts a call that was refused: it had no valid credentials, or these do not reach what it asked for. */
  refused(peer: string): void {
    const connection = this.#connections.get(peer);
    if (connection) this.#count(connection);
  }

  /** Gives false if it has refused the call. */
  #admit(
    connection: Connection,
    stream: ServerHttp2Stream,
    path: string,
    rawHeaders: string[],
  ): boolean {
    const refusal = refusalOf(connection, path, rawHeaders);
    if (refusal) {
      refuse(stream, refusal);
      this.#count(connection);
      return false;
    }
    if (isPublic(path)) {
      connection.publicCalls++;
      stream.once("close", () => connection.publicCalls--);
    }
    return true;
  }

  #count({ session, address, lost }: Connection): void {
    const { resetsMax, resetsPerAddressMax } = this.options;
    const now = performance.now();
    const isKeptOut = resetsPerAddressMax > 0 && address && this.#countAddress(address, now);
    const isOver = lost.add(now) > resetsMax;
    if (isOver && now - this.#warnedAt >= warnMs) {
      this.#warnedAt = now;
      this.log.warn(
        { address, limit: resetsMax },
        "a connection is closed: too many of its calls are reset or refused",
      );
    }
    if (isOver || isKeptOut) setImmediate(close, session);
  }

  /** True if the address is kept out. */
  #countAddress(address: string, now: number): boolean {
    const { resetsPerAddressMax, keepOutSeconds } = this.options;
    const name = networkOf(address);
    const network = this.#networks.get(name) ?? { lost: new LostCalls(), keptOutUntil: 0 };
    this.#networks.delete(name);
    this.#networks.set(name, network);
    const [oldest] = this.#networks.keys();
    if (this.#networks.size > networksMax && oldest !== undefined) this.#networks.delete(oldest);
    if (now < network.keptOutUntil) return true;
    if (network.lost.add(now) <= resetsPerAddressMax) return false;
    network.lost = new LostCalls();
    network.keptOutUntil = now + keepOutSeconds * 1000;
    this.log.warn(
      { address, limit: resetsPerAddressMax, seconds: keepOutSeconds },
      "an address is kept out: too many of its calls are reset or refused",
    );
    return true;
  }
}

/** Why a call is refused before grpc-js sees it; undefined if it is not. */
function refusalOf(
  { publicCalls }: Connection,
  path: string,
  rawHeaders: string[],
): CortexError | undefined {
  // Node shows the first of two such headers only.
  if (countNames(rawHeaders, "authorization") > 1)
    return new CortexError("UNAUTHENTICATED", {
      problem: "it has more than one header authorization",
    });
  if (isPublic(path) && publicCalls >= publicCallsMax)
    return new CortexError("OVERLOADED", {
      applied: "no",
      problem: "too many calls of health and reflection are open on this connection",
      limit: `${publicCallsMax}`,
      retry_after_ms: "1000",
    });
  return undefined;
}

/** How often a list of names and values has the name. */
function countNames(headers: string[], name: string): number {
  let count = 0;
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) count++;
  return count;
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

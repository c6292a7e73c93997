// Consumes a stream: reads entries, calls a function for each, and acknowledges them or gives them back.
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { CallOptions, WriteOptions } from "../core/call-options.js";
import { CortexError, refused, traitsOf } from "../core/error.js";
import { checkSignal, linked } from "../core/retry.js";
import { rejectUnknown } from "../core/validate.js";
import type { DeliveredEntry } from "./entry.js";

/** The function that `consume` calls. `signal` aborts when the entry has gone to another consumer. */
export type ConsumeHandler<T = any> = (
  entry: DeliveredEntry<T>,
  context: { signal: AbortSignal },
) => unknown;

/** The options of `consume`. */
export interface ConsumeOptions {
  /** How many entries are worked on at a time: 1 to 1000. Default: 1. */
  concurrency?: number | undefined;
  /** Ends `consume`: it reads no more, and resolves when the functions at work have ended. Default: none. */
  signal?: AbortSignal | undefined;
  /**
   * How long an entry whose function threw is not delivered, in milliseconds, or a function of how often it was
   * delivered. Default: a second, and twice as long each time, up to a minute.
   */
  retryDelayMs?: number | ((deliveries: number) => number) | undefined;
  /** Called with each error that a function threw, before its entry is given back. Default: nothing. */
  onError?: ((error: unknown, entry: DeliveredEntry) => void) | undefined;
}

interface ReadResult<T> {
  entries: DeliveredEntry<T>[];
  /** How long the group lets a consumer hold an entry. */
  visibilitySeconds: number;
}

/** The calls that `consume` makes. */
interface Calls<T> {
  read(options: WriteOptions & { count: number; blockMs: number }): Promise<ReadResult<T>>;
  ack(entries: DeliveredEntry<T>[]): Promise<number>;
  nack(
    entries: DeliveredEntry<T>[],
    options: { delayMs?: number; reason?: string; uncounted?: boolean },
  ): Promise<number>;
  extend(
    entries: DeliveredEntry<T>[],
    options: CallOptions,
  ): Promise<{ id: string; delivery: string }[]>;
  /** Aborts when the client is closed. */
  closing: AbortSignal;
  /** True if the client may have a new token when the old one is over. */
  renewsToken: boolean;
}

const blockMs = 30_000;
const pauseMs = 1000; // before it tries again what may succeed then
const delayMsMax = 60_000;
const delayMsLimit = 604_800_000; // the server's
const reasonCharsMax = 250; // of at most 4 bytes each

const defaultDelayMs = (deliveries: number): number =>
  Math.min(1000 * 2 ** (deliveries - 1), delayMsMax);

export async function consume<T>(
  calls: Calls<T>,
  handler: ConsumeHandler<T>,
  options: ConsumeOptions,
): Promise<void> {
  await new Consumption<T>(calls, handler, checked(handler, options)).run();
}

interface Settings {
  concurrency: number;
  signal: AbortSignal | undefined;
  delayOf(deliveries: number): number;
  onError: ConsumeOptions["onError"];
}

function checked(handler: unknown, options: ConsumeOptions): Settings {
  const names = ["concurrency", "signal", "retryDelayMs", "onError"];
  rejectUnknown(options, names, "INVALID_OPTIONS", "consume");
  const { concurrency = 1, retryDelayMs = defaultDelayMs, onError, signal } = options;
  if (!(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= 1000))
    throw invalid("concurrency", "is not a whole number from 1 to 1000");
  if (typeof handler !== "function") throw invalid("handler", "is not a function");
  if (onError !== undefined && typeof onError !== "function")
    throw invalid("onError", "is not a function");
  if (typeof retryDelayMs !== "function" && !isDelay(retryDelayMs))
    throw invalid(
      "retryDelayMs",
      "is neither a number of milliseconds up to a week nor a function",
    );
  checkSignal(signal);
  const delayOf = typeof retryDelayMs === "function" ? retryDelayMs : () => retryDelayMs;
  return { concurrency, signal, delayOf, onError };
}

class Consumption<T> {
  /** The entries that are worked on, each with what aborts its signal. */
  readonly #working = new Map<DeliveredEntry<T>, AbortController>();
  /** Aborts when no more is to be read. */
  readonly #ending = new AbortController();
  #failure: unknown;
  #wake = () => {};
  #extending: NodeJS.Timeout | undefined;
  #extendMs = 0;

  constructor(
    readonly calls: Calls<T>,
    readonly handler: ConsumeHandler<T>,
    readonly settings: Settings,
  ) {}

  async run(): Promise<void> {
    const end = () => {
      this.#ending.abort();
      this.#wake();
    };
    const { unlink, signal } = linked([this.settings.signal, this.calls.closing], end);
    if (signal.aborted) end();
    try {
      await this.#readAll().catch((error: unknown) => this.#fail(error));
      while (this.#working.size > 0) await this.#oneEnds();
    } finally {
      clearInterval(this.#extending);
      unlink();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#ending.abort();
    this.#wake();
  }

  /** Resolves when a function has ended, or no more is to be read. */
  #oneEnds(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #readAll(): Promise<void> {
    const { signal } = this.#ending;
    /** A read that failed may have been given entries: it is repeated with the same request id. */
    let asked: { count: number; requestId: string } | undefined;
    while (!signal.aborted) {
      const free = this.settings.concurrency - this.#working.size;
      if (free === 0) {
        await this.#oneEnds();
        continue;
      }
      asked ??= { count: free, requestId: randomUUID() };
      const askedAt = performance.now();
      try {
        const read = await this.calls.read({ ...asked, blockMs, signal });
        asked = undefined;
        this.#extendEvery((read.visibilitySeconds * 1000) / 3);
        for (const entry of read.entries) this.#begin(entry);
      } catch (error) {
        if (signal.aborted) break;
        const lastedMs = performance.now() - askedAt;
        if (!mayPass(error) && !(lastedMs > pauseMs && this.#isTokenOver(error))) throw error;
        await pause(pauseMs * (0.5 + Math.random()), undefined, { signal }).catch(() => {});
      }
    }
    if (asked) await this.#giveBack(asked);
  }

  /** Gives back the entries of a read whose answer was not heard. */
  async #giveBack(asked: { count: number; requestId: string }): Promise<void> {
    if (this.calls.closing.aborted) return;
    // If this fails too, the entries come back by themselves.
    const read = await this.calls.read({ ...asked, blockMs: 0 }).catch(() => undefined);
    if (read && read.entries.length > 0)
      await this.calls.nack(read.entries, { uncounted: true }).catch(() => {});
  }

  #begin(entry: DeliveredEntry<T>): void {
    const lost = new AbortController();
    // The same entry may have come back before its function has ended.
    for (const [other, controller] of this.#working) if (other.id === entry.id) controller.abort();
    this.#working.set(entry, lost);
    void this.#work(entry, lost)
      .catch((error: unknown) => {
        // The entry comes back by itself.
        if (!mayPass(error) && !this.#ending.signal.aborted) this.#fail(error);
      })
      .finally(() => {
        this.#working.delete(entry);
        this.#wake();
      });
  }

  /** Works on an entry to its end. */
  async #work(entry: DeliveredEntry<T>, lost: AbortController): Promise<void> {
    const { delayOf, onError } = this.settings;
    try {
      await this.handler(entry, { signal: lost.signal });
    } catch (error) {
      try {
        onError?.(error, entry);
      } finally {
        let given: unknown;
        try {
          given = delayOf(entry.deliveries);
        } finally {
          const delayMs = isDelay(given) ? given : defaultDelayMs(entry.deliveries);
          await this.calls.nack([entry], { delayMs, reason: reasonOf(error) });
        }
      }
      return;
    }
    await this.calls.ack([entry]);
  }

  #extendEvery(ms: number): void {
    if (ms === this.#extendMs) return;
    this.#extendMs = ms;
    clearInterval(this.#extending);
    // If one fails, the next one may succeed.
    this.#extending = setInterval(() => void this.#extend().catch(() => {}), ms);
  }

  /** Extends the entries that are worked on. Aborts the signals of those that have gone to another consumer. */
  async #extend(): Promise<void> {
    const entries = [...this.#working.keys()];
    if (entries.length === 0) return;
    const timeoutMs = Math.max(this.#extendMs, 1000);
    const held = await this.calls.extend(entries, { timeoutMs });
    const names = new Set(held.map(nameOf));
    for (const entry of entries) if (!names.has(nameOf(entry))) this.#working.get(entry)?.abort();
  }

  /** True for the end of a token while a read waited, if the client may have a new one. */
  #isTokenOver(error: unknown): boolean {
    const isRefused = error instanceof CortexError && error.code === "UNAUTHENTICATED";
    return isRefused && this.calls.renewsToken;
  }
}

/** True if the same call may succeed later. */
function mayPass(error: unknown): boolean {
  if (!(error instanceof CortexError)) return false;
  const { repeatable, timedOut } = traitsOf(error.code);
  return repeatable || timedOut || error.code === "QUOTA_EXCEEDED";
}

const nameOf = ({ id, delivery }: { id: string; delivery: string }) => `${id} ${delivery}`;

const isDelay = (ms: unknown): ms is number =>
  typeof ms === "number" && ms >= 0 && ms <= delayMsLimit;

function reasonOf(error: unknown): string {
  const message = textOf(error);
  const shown = Array.from(message.toWellFormed(), (char) => (/\p{Cc}/u.test(char) ? " " : char));
  return shown.slice(0, reasonCharsMax).join("");
}

/** What was thrown, as text; it may be anything, also what has no text. */
function textOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return "it threw what cannot be shown as text";
  }
}

const invalid = (field: string, problem: string) => refused("INVALID_OPTIONS", field, problem);

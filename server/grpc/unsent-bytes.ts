// Bounds the bytes of replies that callers have not taken: of all together, of each tenant and of each
// connection. A reply that has no room is refused. A stream waits before it makes its next message, and reserves
// room for it.
import { CortexError } from "../errors/reasons.js";

export interface Reader {
  /** The connection, as getPeer() of a call names it. */
  peer: string;
  tenant: string;
}

/** What is held: for all together, for a tenant or for a connection. */
interface Held {
  /** Bytes that were made. */
  unsent: number;
  /** Bytes that streams are about to make. */
  reserved: number;
  /** How often something was taken or given back. */
  releases: number;
}

/** A stream that waits for room. */
interface Waiting {
  reader: Reader;
  bytes: number;
  /** Gives it room. */
  start(release: () => void): void;
}

type Kind = "unsent" | "reserved";

export class UnsentBytes {
  readonly #all: Held = { unsent: 0, reserved: 0, releases: 0 };
  readonly #byConnection = new Map<string, Held>();
  readonly #byTenant = new Map<string, Held>();
  /** By connection; the one that was served last comes last. */
  readonly #waiting = new Map<string, Set<Waiting>>();

  constructor(
    /** For all together. A tenant may have half of it, a connection a quarter. */
    readonly limit: number,
  ) {}

  get isEmpty(): boolean {
    return this.#all.unsent === 0;
  }

  /** Counts bytes that were made, until the returned function is called. */
  count(reader: Reader, bytes: number): () => void {
    return this.#hold(reader, "unsent", bytes);
  }

  /** The error for a reply that has no room beside what others have not taken; undefined if it has. */
  refusal(reader: Reader, bytes: number): CortexError | undefined {
    return this.#hasRoom(reader, bytes, ({ unsent }) => unsent) ? undefined : this.#overloaded();
  }

  /**
   * Waits until there is room, and reserves it until the function that it gives is called. Fails with SLOW_READER if
   * the connection has unsent bytes and takes nothing for `seconds`, with OVERLOADED if nobody takes anything for so
   * long, or with the reason of the signal.
   */
  async room(
    reader: Reader,
    bytes: number,
    { seconds, signal }: { seconds: number; signal: AbortSignal },
  ): Promise<() => void> {
    if (this.#hasRoomFor(reader, bytes)) return this.#hold(reader, "reserved", bytes);
    const release = await this.#turn(reader, bytes, { ms: seconds * 1000, signal });
    if (release) return release;
    signal.throwIfAborted();
    const isSlow = (this.#byConnection.get(reader.peer)?.unsent ?? 0) > 0;
    throw isSlow ? new CortexError("SLOW_READER", { limit: `${seconds}` }) : this.#overloaded();
  }

  /** Waits for room; undefined if nothing is taken for `ms`, or the signal aborts before. */
  #turn(
    reader: Reader,
    bytes: number,
    { ms, signal }: { ms: number; signal: AbortSignal },
  ): Promise<(() => void) | undefined> {
    return new Promise((resolve) => {
      const { peer } = reader;
      // Its own connection if that holds something, else all.
      const releases = () => (this.#byConnection.get(peer) ?? this.#all).releases;
      let timer: NodeJS.Timeout;
      const end = (release?: () => void) => {
        const others = this.#waiting.get(peer);
        others?.delete(waiting);
        if (others?.size === 0) this.#waiting.delete(peer);
        clearTimeout(timer);
        signal.removeEventListener("abort", giveUp);
        resolve(release);
      };
      const giveUp = () => end();
      const watch = (before: number) => {
        timer = setTimeout(() => (releases() === before ? giveUp() : watch(releases())), ms);
      };
      const waiting = { reader, bytes, start: end };
      const others = this.#waiting.get(peer) ?? new Set();
      this.#waiting.set(peer, others.add(waiting));
      watch(releases());
      signal.addEventListener("abort", giveUp, { once: true });
      if (signal.aborted) giveUp();
    });
  }

  /** Gives room to those that wait, as far as there is some. */
  #wake(): void {
    for (const [peer, those] of [...this.#waiting]) {
      let isServed = false;
      for (const { reader, bytes, start } of those) {
        if (!this.#hasRoomFor(reader, bytes)) continue;
        start(this.#hold(reader, "reserved", bytes));
        isServed = true;
      }
      if (!isServed || those.size === 0) continue;
      this.#waiting.delete(peer);
      this.#waiting.set(peer, those);
    }
  }

  #hasRoomFor(reader: Reader, bytes: number): boolean {
    return this.#hasRoom(reader, bytes, ({ unsent, reserved }) => unsent + reserved);
  }

  /** Where there is no room in all, a tenant that has little still gets some: nobody may take it all. */
  #hasRoom({ peer, tenant }: Reader, bytes: number, heldOf: (held: Held) => number): boolean {
    const { limit } = this;
    const fits = (held: Held | undefined, share: number) => {
      const sum = held ? heldOf(held) : 0;
      return sum === 0 || sum + bytes <= share;
    };
    const ofTenant = this.#byTenant.get(tenant);
    return (
      fits(this.#byConnection.get(peer), limit / 4) &&
      fits(ofTenant, limit / 2) &&
      (fits(this.#all, limit) || (fits(ofTenant, limit / 16) && fits(this.#all, 2 * limit)))
    );
  }

  #hold({ peer, tenant }: Reader, kind: Kind, bytes: number): () => void {
    const sums = [
      this.#all,
      heldBy(this.#byConnection, peer),
      heldBy(this.#byTenant, tenant),
    ] as const;
    for (const sum of sums) sum[kind] += bytes;
    let holds = true;
    return () => {
      if (!holds) return;
      holds = false;
      for (const sum of sums) {
        sum[kind] -= bytes;
        sum.releases++;
      }
      forgetIfNone(this.#byConnection, peer);
      forgetIfNone(this.#byTenant, tenant);
      if (this.#waiting.size > 0) this.#wake();
    };
  }

  #overloaded(): CortexError {
    return new CortexError("OVERLOADED", {
      applied: "no",
      problem: "too many bytes of replies wait to be read",
      limit: `${this.limit}`,
      retry_after_ms: "1000",
    });
  }
}

function heldBy(sums: Map<string, Held>, name: string): Held {
  const known = sums.get(name);
  if (known) return known;
  const held = { unsent: 0, reserved: 0, releases: 0 };
  sums.set(name, held);
  return held;
}

function forgetIfNone(sums: Map<string, Held>, name: string): void {
  const held = sums.get(name);
  if (held && held.unsent + held.reserved === 0) sums.delete(name);
}

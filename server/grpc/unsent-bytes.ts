// Bounds the bytes of replies that callers have not taken: of all together, of each tenant and of each
// connection. A unary read that has no room is refused. A stream waits before it makes its next message.
import { CortexError } from "../errors/reasons.js";

export interface Reader {
  /** The connection, as getPeer() of a call names it. */
  peer: string;
  tenant: string;
}

/** A stream that waits for room. */
interface Waiting {
  reader: Reader;
  bytes: number;
  /** Gives it room. */
  start(release: () => void): void;
}

export class UnsentBytes {
  #total = 0;
  readonly #byConnection = new Map<string, number>();
  readonly #byTenant = new Map<string, number>();
  /** By connection, in the order in which they came. */
  readonly #waiting = new Map<string, Set<Waiting>>();

  constructor(
    /** For all together. A tenant may have half of it, a connection a quarter. */
    readonly limit: number,
  ) {}

  get isEmpty(): boolean {
    return this.#total === 0;
  }

  ofConnection(peer: string): number {
    return this.#byConnection.get(peer) ?? 0;
  }

  /** Counts bytes until the returned function is called. */
  count({ peer, tenant }: Reader, bytes: number): () => void {
    this.#add(peer, tenant, bytes);
    let counts = true;
    return () => {
      if (!counts) return;
      counts = false;
      this.#add(peer, tenant, -bytes);
      this.#wake();
    };
  }

  /** The error for a reply that has no room; undefined if it has. */
  refusal(reader: Reader, bytes: number): CortexError | undefined {
    if (this.#hasRoom(reader, bytes)) return undefined;
    return new CortexError("OVERLOADED", {
      applied: "no",
      problem: "too many bytes of replies wait to be read",
      limit: `${this.limit}`,
      retry_after_ms: "1000",
    });
  }

  /**
   * Waits until there is room, and counts the bytes until the function that it gives is called. Fails with
   * SLOW_READER if the connection has not taken enough within `seconds`, with OVERLOADED if others have not, or with
   * the reason of the signal.
   */
  async room(
    reader: Reader,
    bytes: number,
    { seconds, signal }: { seconds: number; signal: AbortSignal },
  ): Promise<() => void> {
    if (this.#hasRoom(reader, bytes)) return this.count(reader, bytes);
    const isReader = this.ofConnection(reader.peer) > 0;
    const release = await this.#turn(reader, bytes, { ms: seconds * 1000, signal });
    if (release) return release;
    signal.throwIfAborted();
    throw isReader
      ? new CortexError("SLOW_READER", { limit: `${seconds}` })
      : (this.refusal(reader, bytes) ?? new CortexError("OVERLOADED"));
  }

  /** Waits for room; undefined if the time is up or the signal aborts before. */
  #turn(
    reader: Reader,
    bytes: number,
    { ms, signal }: { ms: number; signal: AbortSignal },
  ): Promise<(() => void) | undefined> {
    return new Promise((resolve) => {
      const { peer } = reader;
      const end = (release?: () => void) => {
        const others = this.#waiting.get(peer);
        others?.delete(waiting);
        if (others?.size === 0) this.#waiting.delete(peer);
        clearTimeout(timer);
        signal.removeEventListener("abort", giveUp);
        resolve(release);
      };
      const giveUp = () => end();
      const waiting = { reader, bytes, start: end };
      const timer = setTimeout(giveUp, ms);
      signal.addEventListener("abort", giveUp, { once: true });
      const others = this.#waiting.get(peer) ?? new Set();
      this.#waiting.set(peer, others.add(waiting));
      if (signal.aborted) giveUp();
    });
  }

  /** Gives room to those that wait, as far as there is some. */
  #wake(): void {
    for (const waiting of this.#waiting.values())
      for (const { reader, bytes, start } of waiting) {
        if (!this.#hasRoom(reader, bytes)) break;
        start(this.count(reader, bytes));
      }
  }

  /** Where there is no room in all, a tenant that has little still gets some: nobody may take it all. */
  #hasRoom({ peer, tenant }: Reader, bytes: number): boolean {
    const { limit } = this;
    const fits = (held: number, share: number) => held === 0 || held + bytes <= share;
    const ofTenant = this.#byTenant.get(tenant) ?? 0;
    return (
      fits(this.ofConnection(peer), limit / 4) &&
      fits(ofTenant, limit / 2) &&
      (fits(this.#total, limit) || (fits(ofTenant, limit / 16) && fits(this.#total, 2 * limit)))
    );
  }

  #add(peer: string, tenant: string, bytes: number): void {
    this.#total += bytes;
    add(this.#byConnection, peer, bytes);
    add(this.#byTenant, tenant, bytes);
  }
}

function add(counts: Map<string, number>, name: string, bytes: number): void {
  const sum = (counts.get(name) ?? 0) + bytes;
  if (sum > 0) counts.set(name, sum);
  else counts.delete(name);
}

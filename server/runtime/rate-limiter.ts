// How many calls a tenant may make: a token bucket for each tenant, in this process alone. N workers allow a
// tenant N times as much.
import { CortexError } from "../errors/reasons.js";

interface Bucket {
  tokens: number;
  at: number;
}

const bucketsMax = 100_000; // beyond it the oldest is dropped; when its tenant comes back it gets a full one

export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>();

  constructor(
    readonly perSecond: number,
    readonly burst: number,
  ) {}

  /** Takes a token of the tenant; throws RATE_LIMITED if there is none. */
  take(tenant: string): void {
    if (this.perSecond === 0) return;
    const now = performance.now();
    const bucket = this.#buckets.get(tenant) ?? this.#open(tenant, now);
    this.#fill(bucket, now);
    if (bucket.tokens >= 1) {
      bucket.tokens--;
      return;
    }
    const wait = Math.ceil(((1 - bucket.tokens) / this.perSecond) * 1000);
    throw new CortexError("RATE_LIMITED", {
      applied: "no",
      limit: `${this.perSecond}`,
      retry_after_ms: `${wait}`,
    });
  }

  #fill(bucket: Bucket, now: number): void {
    bucket.tokens = Math.min(
      this.burst,
      bucket.tokens + ((now - bucket.at) / 1000) * this.perSecond,
    );
    bucket.at = now;
  }

  #open(tenant: string, now: number): Bucket {
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size >= bucketsMax && oldest !== undefined) this.#buckets.delete(oldest);
    const bucket = { tokens: this.burst, at: now };
    this.#buckets.set(tenant, bucket);
    return bucket;
  }
}

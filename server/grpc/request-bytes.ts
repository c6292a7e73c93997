// Bounds the bytes of requests that this process holds, from the first byte that arrives until the call is
// over: calls that wait for the database keep their messages in memory.
import type { Metadata } from "@grpc/grpc-js";
import { CortexError } from "../errors/reasons.js";

const warnMs = 10_000;

export class RequestBytes {
  /** For all calls together; and for the calls of one tenant. */
  limit = Number.POSITIVE_INFINITY;
  tenantLimit = Number.POSITIVE_INFINITY;
  onRefused: (problem: string) => void = () => {};
  #held = 0;
  readonly #heldByTenant = new Map<string, number>();
  /** The bytes of each call, by the metadata object that all layers share. */
  readonly #ofCall = new WeakMap<Metadata, number>();
  #warnedAt = Number.NEGATIVE_INFINITY;

  /** Counts bytes that arrive. Gives the reason if there is no room for them: then they are to be dropped. */
  receive(call: Metadata, bytes: number): CortexError | undefined {
    const before = this.#ofCall.get(call) ?? 0;
    // A call that comes alone is taken, so that the limit makes no message impossible.
    if (this.#held + bytes > this.limit && this.#held > before) return this.#refusal(this.limit);
    this.#held += bytes;
    this.#ofCall.set(call, before + bytes);
    return undefined;
  }

  /** The call is over: its bytes count no longer. */
  release(call: Metadata): void {
    this.#held -= this.#ofCall.get(call) ?? 0;
    this.#ofCall.delete(call);
  }

  /** Counts a call for its tenant until the returned function is called. Throws if there is no room for it. */
  admit(call: Metadata, tenant: string): () => void {
    const bytes = this.#ofCall.get(call) ?? 0;
    const held = this.#heldByTenant.get(tenant) ?? 0;
    if (held > 0 && held + bytes > this.tenantLimit) throw this.#refusal(this.tenantLimit);
    this.#heldByTenant.set(tenant, held + bytes);
    return () => {
      const left = (this.#heldByTenant.get(tenant) ?? 0) - bytes;
      if (left > 0) this.#heldByTenant.set(tenant, left);
      else this.#heldByTenant.delete(tenant);
    };
  }

  #refusal(limit: number): CortexError {
    const whose = limit === this.tenantLimit ? " of the tenant" : "";
    const problem = `too many bytes of requests${whose} wait`;
    const now = performance.now();
    if (now - this.#warnedAt > warnMs) {
      this.#warnedAt = now;
      this.onRefused(`calls are refused: ${problem}`);
    }
    return new CortexError("OVERLOADED", {
      applied: "no",
      problem,
      limit: `${limit}`,
      retry_after_ms: "100",
    });
  }
}

/** That of the process: bytes arrive before it is known which of its servers they are for. */
export const requestBytes = new RequestBytes();

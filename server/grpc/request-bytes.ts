// Bounds the bytes of requests that this process holds, from the first byte that arrives until the call is
// over: calls that wait for the database keep their messages in memory.
import type { Metadata } from "@grpc/grpc-js";
import { CortexError } from "../errors/reasons.js";

const warnMs = 10_000;

const held = Symbol("held");
/** The metadata of a call: the one object that all layers share. It has how many bytes of the call are held. */
type CallMetadata = Metadata & { [held]?: number };

export class RequestBytes {
  /** For all calls together; and for the calls of one tenant. */
  limit = Number.POSITIVE_INFINITY;
  tenantLimit = Number.POSITIVE_INFINITY;
  onRefused: (problem: string) => void = () => {};
  #held = 0;
  readonly #heldByTenant = new Map<string, number>();
  #warnedAt = Number.NEGATIVE_INFINITY;

  /** Counts bytes that arrive. Gives the reason if there is no room for them: then they are to be dropped. */
  receive(call: CallMetadata, bytes: number): CortexError | undefined {
    const before = call[held] ?? 0;
    // A call that comes alone is taken, so that the limit makes no message impossible.
    if (this.#held + bytes > this.limit && this.#held > before) return this.#refusal(this.limit);
    this.#held += bytes;
    call[held] = before + bytes;
    return undefined;
  }

  /** The call is over: its bytes count no longer. */
  release(call: CallMetadata): void {
    this.#held -= call[held] ?? 0;
    call[held] = 0;
  }

  /** Counts a call for its tenant until the returned function is called. Throws if there is no room for it. */
  admit(call: CallMetadata, tenant: string): () => void {
    const bytes = call[held] ?? 0;
    const ofTenant = this.#heldByTenant.get(tenant) ?? 0;
    if (ofTenant > 0 && ofTenant + bytes > this.tenantLimit) throw this.#refusal(this.tenantLimit);
    this.#heldByTenant.set(tenant, ofTenant + bytes);
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

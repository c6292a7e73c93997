// A claim, as it is read and as its holder has it.
import {
  type Claim as ClaimMessage,
  Claims as ClaimsService,
} from "../../gen/cortex/claims/v1/claims_pb.js";
import type { WriteOptions } from "../core/call-options.js";
import { toDate } from "../core/codec.js";
import { CortexError } from "../core/error.js";
import type { Json } from "../core/json.js";
import type { Transport } from "../core/transport.js";
import { rejectUnknown, secondsOf } from "../core/validate.js";
import { Events } from "../events/events.js";
import { Immutable } from "../immutable/immutable.js";
import { Mutable } from "../mutable/mutable.js";
import { Streams } from "../streams/streams.js";

/** A claim that is held. */
export interface ClaimRecord {
  name: string;
  owner: string;
  /** A number that is higher than those of all claims before, as decimal text. */
  fence: string;
  /** undefined: none was given. */
  value?: unknown;
  acquiredAt: Date;
  /** When it ends unless it is renewed, by the database's clock. */
  expiresAt: Date;
  /** The user it belongs to; undefined: none. */
  userId?: string;
  /** The agent that acquired it; undefined: its client had no `agentId`. */
  agentId?: string;
}

export function toRecord(message: ClaimMessage | undefined, json: Json): ClaimRecord {
  if (!message) throw new TypeError("the response holds no claim");
  const { name, owner, fence, valueJson, acquireTime, expireTime, userId, agentId } = message;
  return {
    name,
    owner,
    fence,
    ...(valueJson !== undefined && { value: json.parse(valueJson, `claim\0${name}`) }),
    acquiredAt: toDate(acquireTime),
    expiresAt: toDate(expireTime),
    ...(userId !== undefined && { userId }),
    ...(agentId !== undefined && { agentId }),
  };
}

const rpc = ClaimsService.method;
const changeNames = ["timeoutMs", "signal", "requestId"];

/** A claim that this client has acquired. */
export class Claim {
  readonly name: string;
  /** Who holds it, as it was given. */
  readonly owner: string;
  /** A number that is higher than those of all claims before, as decimal text. */
  readonly fence: string;
  /** The value that was given; undefined: none. */
  readonly value: unknown;
  /** When it ends unless it is renewed, by the database's clock. */
  expiresAt: Date;
  readonly #transport: Transport;
  readonly #lost = new AbortController();
  /**
   * When this client sent the last call that acquired or renewed it, as `performance.now()` gives it. From then on it
   * lasts for its ttl, or longer.
   */
  grantedAt: number;
  #mutable: Mutable | undefined;
  #immutable: Immutable | undefined;
  #events: Events | undefined;
  #streams: Streams | undefined;

  constructor(
    transport: Transport,
    { name, owner, fence, value, expiresAt }: ClaimRecord,
    grantedAt: number,
  ) {
    this.#transport = transport;
    this.name = name;
    this.owner = owner;
    this.fence = fence;
    this.value = value;
    this.expiresAt = expiresAt;
    this.grantedAt = grantedAt;
  }

  /**
   * Aborts when the claim is known to be lost: when `renew` fails with CLAIM_NOT_HELD, or `claims.with` could not
   * renew it in time.
   */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** MutableStore, whose writes fail with FENCE_STALE once this claim is not held any more. */
  get mutable(): Mutable {
    this.#mutable ??= new Mutable(this.#transport.guarded(this));
    return this.#mutable;
  }

  /** ImmutableStore, whose writes fail with FENCE_STALE once this claim is not held any more. */
  get immutable(): Immutable {
    this.#immutable ??= new Immutable(this.#transport.guarded(this));
    return this.#immutable;
  }

  /** Events, whose `publish` and `publishMany` fail with FENCE_STALE once this claim is not held any more. */
  get events(): Events {
    this.#events ??= new Events(this.#transport.guarded(this));
    return this.#events;
  }

  /**
   * Streams, whose `append`, `trim` and `delete`, and the methods of whose groups, fail with FENCE_STALE once this claim
   * is not held any more. Only `extend` and what reads take no claim.
   */
  get streams(): Streams {
    this.#streams ??= new Streams(this.#transport.guarded(this));
    return this.#streams;
  }

  /**
   * Renews the claim: it lasts for `ttlSeconds` from now on.
   *
   * @throws CLAIM_NOT_HELD, INVALID_TTL.
   */
  async renew(options: { ttlSeconds: number } & Omit<WriteOptions, "claim">): Promise<void> {
    rejectUnknown(options ?? {}, ["ttlSeconds", ...changeNames], "INVALID_OPTIONS", "renew");
    const { ttlSeconds, ...rest } = options ?? {};
    const { name, fence } = this;
    const sentAt = performance.now();
    const request = { name, fence, ttlSeconds: secondsOf(ttlSeconds) };
    try {
      const { claim } = await this.#transport.write(rpc.renew, request, rest);
      this.expiresAt = toDate(claim?.expireTime);
      this.grantedAt = sentAt;
    } catch (error) {
      if (error instanceof CortexError && error.code === "CLAIM_NOT_HELD") this.lose(error);
      throw error;
    }
  }

  /**
   * Releases the claim.
   *
   * @throws CLAIM_NOT_HELD.
   */
  async release(options: Omit<WriteOptions, "claim"> = {}): Promise<void> {
    rejectUnknown(options, changeNames, "INVALID_OPTIONS", "release");
    const { name, fence } = this;
    await this.#transport.write(rpc.release, { name, fence }, options);
  }

  /** Says that the claim is lost. For `claims.with`. */
  lose(reason: unknown): void {
    this.#lost.abort(reason);
  }
}

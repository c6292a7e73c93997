// The client of Claims: names that one agent at a time holds.
import { randomUUID } from "node:crypto";
import { Claims as ClaimsService } from "../../gen/cortex/claims/v1/claims_pb.js";
import type { CallOptions, ClaimGuard, WriteOptions } from "../core/call-options.js";
import { toJson } from "../core/json.js";
import { checkTimeout } from "../core/retry.js";
import type { Transport } from "../core/transport.js";
import {
  callNames,
  callOptions,
  claimNameText,
  fenceText,
  rejectUnknown,
  secondsOf,
  text,
  userIdText,
  whole,
} from "../core/validate.js";
import { Claim, type ClaimRecord, toRecord } from "./claim.js";
import { hold } from "./hold.js";
import { invalid } from "./options.js";

const rpc = ClaimsService.method;
const waitMsMax = 3_600_000;

/** The options of `claims.acquire`. */
export interface AcquireOptions extends Omit<WriteOptions, "claim"> {
  /** How long the claim lasts, in seconds: above 0, at most 100 years. Required. */
  ttlSeconds: number;
  /** How long to wait for it, in milliseconds: at most an hour. Apart from `timeoutMs`. Default: not at all. */
  waitMs?: number | undefined;
  /** Any JSON value up to 64 KiB. Default: none. */
  value?: unknown;
  /** Who holds it: 1 to 256 bytes. Default: the client's `agentId`, else a random name of the client. */
  owner?: string | undefined;
  /** The user it belongs to; must exist. It is erased together with the user. Default: none. */
  userId?: string | undefined;
}

/** The options of `claims.list`. */
export interface ClaimListOptions extends CallOptions {
  /** Only names that begin with this. Default: all. */
  prefix?: string | undefined;
  /** How many: 1 to 1000. Default: 100. */
  limit?: number | undefined;
  /** The token that the page before gave. */
  pageToken?: string | undefined;
}

/** A page of claims. */
export interface ClaimListResult {
  claims: ClaimRecord[];
  /** The token of the next page; undefined: this is the last one. */
  nextPageToken?: string;
}

/** What holds claims: a client, in all its scopes. */
export class Holder {
  /** The owner of its claims, unless another one is given. */
  readonly owner: string;

  constructor(
    agentId: string | undefined,
    /** The claims that `with` holds. */
    readonly held = new Set<Claim>(),
  ) {
    this.owner = agentId ?? `client-${randomUUID()}`;
  }

  /** Another agent of the same client. */
  as(agentId: string): Holder {
    return new Holder(agentId, this.held);
  }

  /** Releases what `with` holds: the client is closed. */
  async close(): Promise<void> {
    await Promise.all([...this.held].map((claim) => claim.release().catch(() => {})));
  }
}

const changeNames = [...callNames, "requestId"];
const acquireNames = ["ttlSeconds", "waitMs", "value", "owner", "userId", ...changeNames];

/**
 * Claims: one agent at a time holds a name, until it releases it or its time is over, by the database's clock. A
 * claim outlives the server that granted it.
 *
 * A process may be stopped for longer than its claim lasts, and write afterwards. Guard what it writes by the claim:
 * `claim.mutable`, `claim.immutable` and `claim.events` do, and every write takes it as the option `claim`. Such a
 * write fails with FENCE_STALE once the claim is not held any more.
 */
export class Claims {
  readonly #transport: Transport;
  readonly #holder: Holder;

  constructor(transport: Transport, holder: Holder) {
    this.#transport = transport;
    this.#holder = holder;
  }

  /**
   * Acquires a claim, if nobody holds it.
   *
   * @returns True if it was acquired.
   * @throws As `acquire`.
   *
   * ```ts
   * if (await cortex.claims.once("report:2026-11-26", "agent-7", { ttlSeconds: 3600 })) …
   * ```
   */
  async once(name: string, value: unknown, options: AcquireOptions): Promise<boolean> {
    return (await this.#acquire(name, { ...options, value }, "once")) !== null;
  }

  /**
   * Acquires a claim. With `waitMs` it waits for its turn, in the order of arrival. While it is held nobody acquires
   * it, not even its owner.
   *
   * @param name 1 to 512 bytes of UTF-8, not blank, without control characters.
   * @returns The claim; null if it is held by others and the wait is over.
   * @throws INVALID_CLAIM, INVALID_TTL, INVALID_VALUE, VALUE_TOO_LARGE, USER_NOT_FOUND, QUOTA_EXCEEDED,
   * CLAIM_NOT_HELD (under a `requestId` that was used before: the claim has ended since).
   */
  acquire(name: string, options: AcquireOptions): Promise<Claim | null> {
    return this.#acquire(name, options, "acquire");
  }

  async #acquire(name: string, options: AcquireOptions, what: string): Promise<Claim | null> {
    rejectUnknown(options ?? {}, acquireNames, "INVALID_OPTIONS", what);
    const {
      ttlSeconds,
      waitMs = 0,
      value,
      owner = this.#holder.owner,
      userId,
      ...rest
    } = options ?? {};
    if (!(typeof waitMs === "number" && waitMs >= 0 && waitMs <= waitMsMax))
      throw invalid("waitMs", `is not a number of milliseconds up to ${waitMsMax}`);
    const timeoutMs = checkTimeout(rest.timeoutMs ?? this.#transport.timeoutMs);
    const request = {
      name: claimNameText(name),
      owner: text(owner, "owner", "INVALID_CLAIM"),
      ttlSeconds: secondsOf(ttlSeconds),
      ...(waitMs > 0 && { waitSeconds: waitMs / 1000 }),
      ...(value !== undefined && { valueJson: toJson(value, "value") }),
      ...(userId !== undefined && { userId: userIdText(userId) }),
    };
    const sentAt = performance.now();
    const all = { ...rest, timeoutMs: timeoutMs + waitMs };
    const { claim } = await (waitMs > 0
      ? this.#transport.waitingWrite(rpc.acquire, request, all)
      : this.#transport.write(rpc.acquire, request, all));
    return claim ? new Claim(this.#transport, toRecord(claim, this.#transport.json), sentAt) : null;
  }

  /**
   * Runs a function while it holds a claim, which is renewed meanwhile and released at the end. `claim.signal` aborts
   * when the claim is lost, so that the function can stop. What the function throws is thrown.
   *
   * @returns What the function returns; null if the claim was not acquired.
   * @throws As `acquire`, and what the function throws.
   *
   * ```ts
   * await cortex.claims.with("leader", { ttlSeconds: 10, waitMs: 60_000 }, async (claim) => {
   *   while (!claim.signal.aborted) await claim.mutable.update("cluster", "state", step);
   * });
   * ```
   */
  async with<T>(
    name: string,
    options: AcquireOptions,
    work: (claim: Claim) => Promise<T> | T,
  ): Promise<T | null> {
    if (typeof work !== "function") throw invalid("work", "is not a function");
    const claim = await this.#acquire(name, options, "with");
    if (!claim) return null;
    this.#holder.held.add(claim);
    try {
      return await hold(claim, options.ttlSeconds, work);
    } finally {
      this.#holder.held.delete(claim);
    }
  }

  /**
   * Renews a claim: it lasts for `ttlSeconds` from now on.
   *
   * @throws CLAIM_NOT_HELD, INVALID_CLAIM, INVALID_TTL.
   */
  async renew(
    { name, fence }: ClaimGuard,
    options: { ttlSeconds: number } & Omit<WriteOptions, "claim">,
  ): Promise<ClaimRecord> {
    rejectUnknown(options ?? {}, ["ttlSeconds", ...changeNames], "INVALID_OPTIONS", "renew");
    const { ttlSeconds, ...rest } = options ?? {};
    const held = { name: claimNameText(name), fence: fenceText(fence) };
    const request = { ...held, ttlSeconds: secondsOf(ttlSeconds) };
    const { claim } = await this.#transport.write(rpc.renew, request, rest);
    return toRecord(claim, this.#transport.json);
  }

  /**
   * Releases a claim.
   *
   * @throws CLAIM_NOT_HELD, INVALID_CLAIM.
   */
  async release(
    { name, fence }: ClaimGuard,
    options: Omit<WriteOptions, "claim"> = {},
  ): Promise<void> {
    rejectUnknown(options, changeNames, "INVALID_OPTIONS", "release");
    const held = { name: claimNameText(name), fence: fenceText(fence) };
    await this.#transport.write(rpc.release, held, options);
  }

  /** Reads a claim; null if nobody holds it. Throws INVALID_CLAIM. */
  async get(name: string, options: CallOptions = {}): Promise<ClaimRecord | null> {
    callOptions(options, "get");
    const { claim } = await this.#transport.unary(rpc.get, { name: claimNameText(name) }, options);
    return claim ? toRecord(claim, this.#transport.json) : null;
  }

  /**
   * Lists the claims that are held, in the order of their names.
   *
   * @throws INVALID_FILTER, INVALID_LIMIT, INVALID_PAGE_TOKEN.
   */
  async list(options: ClaimListOptions = {}): Promise<ClaimListResult> {
    const names = ["prefix", "limit", "pageToken", ...callNames];
    rejectUnknown(options, names, "INVALID_OPTIONS", "list");
    const { prefix, limit, pageToken = "", ...rest } = options;
    const request = {
      pageToken: text(pageToken, "pageToken", "INVALID_PAGE_TOKEN"),
      ...(prefix !== undefined && { prefix: text(prefix, "prefix", "INVALID_FILTER") }),
      ...(limit !== undefined && { limit: whole(limit, "limit", "INVALID_LIMIT") }),
    };
    const { claims, nextPageToken } = await this.#transport.unary(rpc.list, request, rest);
    return {
      claims: claims.map((claim) => toRecord(claim, this.#transport.json)),
      ...(nextPageToken !== "" && { nextPageToken }),
    };
  }
}

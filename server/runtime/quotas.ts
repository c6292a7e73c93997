// How much a tenant may store. What it stores is measured in the database every few seconds while it writes, and what this process writes
// since is added. Near the limit it is measured before each write, which then goes by itself: its statement decides whether it would
// create too much. So a quota is exact for who writes one after the other, and can be passed by what is on its way when it is reached.

import { CortexError } from "../errors/reasons.js";
import type { Run } from "../postgres/connection.js";

/** Numbers of a tenant: keys, bytes of values, data, metadata and profiles, versions. */
export interface Amounts {
  keys: number;
  bytes: number;
  versions: number;
}
type Kind = keyof Amounts;

/** What is left of each. */
export type Room = Amounts;

interface Usage {
  measured: Amounts;
  /** What was written since, at most. */
  since: Amounts;
  at: number;
}

const ageMsMax = 10_000;
const near = { keys: 1000, bytes: 16 * 1024 * 1024, versions: 1000 }; // as much as a few statements may add
const tenantsMax = 10_000;
const kinds = ["keys", "bytes", "versions"] as const;
const none: Amounts = { keys: 0, bytes: 0, versions: 0 };

export class Quotas {
  readonly #usages = new Map<string, Usage>();
  readonly #measuring = new Map<string, Promise<Usage>>();
  readonly #on: boolean;

  constructor(
    /** 0: no limit. */
    readonly limits: Amounts,
    /** Measures, apart from what callers run. */
    readonly run: Run,
  ) {
    this.#on = kinds.some((kind) => limits[kind] > 0);
  }

  /** What is left for a write that adds at most so much; undefined: more than it could take. */
  async room(tenant: string, adds: Amounts): Promise<Room | undefined> {
    if (!this.#on || kinds.every((kind) => adds[kind] === 0)) return undefined;
    let usage = this.#usages.get(tenant);
    if (!usage || this.#isNear(usage)) usage = await this.#measure(tenant);
    else if (performance.now() - usage.at > ageMsMax && !this.#measuring.has(tenant))
      this.#measure(tenant).catch(() => {}); // nobody waits for it; the next write tries again
    const room = this.#left(usage);
    for (const kind of kinds) usage.since[kind] += adds[kind];
    return this.#isNear(usage) ? room : undefined;
  }

  /** Refuses what adds so much, where there is no room for it. */
  async check(tenant: string, adds: Amounts, taken = none): Promise<void> {
    const room = await this.room(tenant, adds);
    if (!room) return;
    for (const kind of kinds)
      if (adds[kind] > 0 && adds[kind] > room[kind] - taken[kind]) throw this.refusal(kind, room);
  }

  /** Why a write is refused. */
  refusal(kind: Kind, room: Room): CortexError {
    const limit = this.limits[kind];
    return new CortexError("QUOTA_EXCEEDED", {
      applied: "no",
      quota: kind,
      limit: `${limit}`,
      got: `${limit - Math.max(room[kind], 0)}`,
      retry_after_ms: `${ageMsMax}`,
    });
  }

  #left({ measured, since }: Usage): Room {
    const left = (kind: Kind) =>
      this.limits[kind] === 0
        ? Number.MAX_SAFE_INTEGER
        : this.limits[kind] - measured[kind] - since[kind];
    return { keys: left("keys"), bytes: left("bytes"), versions: left("versions") };
  }

  #isNear(usage: Usage): boolean {
    const left = this.#left(usage);
    return kinds.some((kind) => left[kind] < near[kind]);
  }

  async #measure(tenant: string): Promise<Usage> {
    const running = this.#measuring.get(tenant);
    if (running) {
      await running.catch(() => {}); // it may have begun before what this caller wrote last
      const next = this.#measuring.get(tenant);
      if (next && next !== running) return next;
    }
    const measuring = this.#measured(tenant);
    this.#measuring.set(tenant, measuring);
    try {
      return await measuring;
    } finally {
      if (this.#measuring.get(tenant) === measuring) this.#measuring.delete(tenant);
    }
  }

  async #measured(tenant: string): Promise<Usage> {
    const { keys, bytes, versions } = this.limits;
    const [row] = await this.run<Record<"keys" | "bytes" | "versions", string>>(
      (sql) => sql`
        select coalesce(m.keys, 0) as keys, coalesce(m.bytes, 0) + coalesce(v.bytes, 0) + coalesce(u.bytes, 0) as bytes,
          coalesce(v.versions, 0) as versions
        from (
          select count(*) filter (where m.expire_at is null or m.expire_at > statement_timestamp()) as keys,
            sum(m.bytes + octet_length(m.metadata::text)) as bytes
          from mutable m where m.tenant = ${tenant} and ${keys + bytes > 0}::boolean
        ) as m, (
          select count(*) as versions, sum(coalesce(v.bytes, 0) + octet_length(v.metadata::text)) as bytes
          from immutable_version v where v.tenant = ${tenant} and ${versions + bytes > 0}::boolean
        ) as v, (
          select sum(octet_length(u.profile::text)) as bytes from users u where u.tenant = ${tenant} and ${bytes > 0}::boolean
        ) as u`,
    );
    const measured = {
      keys: Number(row?.keys ?? 0),
      bytes: Number(row?.bytes ?? 0),
      versions: Number(row?.versions ?? 0),
    };
    const usage = { measured, since: { keys: 0, bytes: 0, versions: 0 }, at: performance.now() };
    this.#usages.delete(tenant);
    this.#usages.set(tenant, usage);
    const [oldest] = this.#usages.keys();
    if (this.#usages.size > tenantsMax && oldest !== undefined) this.#usages.delete(oldest);
    return usage;
  }
}

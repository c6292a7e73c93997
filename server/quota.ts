// How much a tenant may store. What it stores is measured in the database every few seconds while it writes, and what this process writes
// since is added. Near the limit it is measured before each write, which then goes by itself: its statement decides whether it would
// create too much. So a quota is exact for who writes one after the other, and can be passed by what is on its way when it is reached.
import type { Run } from "./connection.js";
import { CortexError } from "./errors.js";

/** Numbers of a tenant: keys, bytes of values and data, versions. */
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

export class Quotas {
  readonly #usages = new Map<string, Usage>();
  readonly #measuring = new Map<string, Promise<Usage>>();
  readonly #on: boolean;

  constructor(
    /** 0: no limit. */
    readonly limits: Amounts,
    readonly run: (tenant: string) => Run,
  ) {
    this.#on = kinds.some((kind) => limits[kind] > 0);
  }

  /** What is left for a write that adds at most so much; undefined: more than it could take. */
  async room(tenant: string, adds: Amounts): Promise<Room | undefined> {
    if (!this.#on) return undefined;
    let usage = this.#usages.get(tenant);
    if (!usage || performance.now() - usage.at > ageMsMax || this.#isNear(usage))
      usage = await this.#measure(tenant);
    const room = this.#left(usage);
    for (const kind of kinds) usage.since[kind] += adds[kind];
    return this.#isNear(usage) ? room : undefined;
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
    const measuring = this.#measuring.get(tenant) ?? this.#measured(tenant);
    this.#measuring.set(tenant, measuring);
    try {
      return await measuring;
    } finally {
      this.#measuring.delete(tenant);
    }
  }

  async #measured(tenant: string): Promise<Usage> {
    const { keys, bytes, versions } = this.limits;
    const [row] = await this.run(tenant)<Record<"keys" | "bytes" | "versions", string>>(
      (sql) => sql`
        select coalesce(m.keys, 0) as keys, coalesce(m.bytes, 0) + coalesce(v.bytes, 0) as bytes, coalesce(v.versions, 0) as versions
        from (
          select count(*) as keys, sum(bytes) as bytes from mutable m
          where m.tenant = ${tenant} and ${keys + bytes > 0}::boolean and (m.expire_at is null or m.expire_at > statement_timestamp())
        ) as m, (
          select count(*) as versions, sum(bytes) as bytes from immutable_version v
          where v.tenant = ${tenant} and ${versions + bytes > 0}::boolean
        ) as v`,
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

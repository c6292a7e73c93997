// Limits how much a tenant may store. While a tenant writes, its rows are measured every ten seconds, and the
// writes of this process since then are added. Near a limit, the rows are measured before each write. A write
// of entries then runs in a statement of its own, which checks the quota itself. So a quota is exact for a
// tenant that makes one write after the other. Calls in flight when a limit is reached can exceed it.
import { CortexError } from "../errors/reasons.js";
import type { Run } from "../postgres/connection.js";
import { reservedTypePrefix } from "../validation/fields.js";

const ageMsMax = 10_000;

/** Amounts of a tenant: keys, versions, and the bytes of values, data, metadata and profiles. */
export interface Amounts {
  keys: number;
  bytes: number;
  versions: number;
}
export type QuotaKind = keyof Amounts;

const kinds = ["keys", "bytes", "versions"] as const;
const none: Amounts = { keys: 0, bytes: 0, versions: 0 };

/** How much of each the tenant may still store, and the limits that this comes from. */
export interface Room extends Amounts {
  limits: Amounts;
}

/** The error for a write that adds more of a kind than there is room for. */
export function quotaExceeded(kind: QuotaKind, room: Room): CortexError {
  const limit = room.limits[kind];
  return new CortexError("QUOTA_EXCEEDED", {
    applied: "no",
    quota: kind,
    limit: `${limit}`,
    got: `${limit - Math.max(room[kind], 0)}`,
    retry_after_ms: `${ageMsMax}`,
  });
}

/**
 * The error for a write that adds more than there is room for; undefined if there is room. A kind of which it
 * adds nothing is not checked. `taken` is room that was used and not measured yet.
 */
export function quotaRefusal(room: Room, adds: Amounts, taken = none): CortexError | undefined {
  const kind = kinds.find((kind) => adds[kind] > 0 && adds[kind] > room[kind] - taken[kind]);
  return kind && quotaExceeded(kind, room);
}

interface Usage {
  measured: Amounts;
  /** The most that was written since. */
  since: Amounts;
  at: number;
}

const near = { keys: 1000, bytes: 16 * 1024 * 1024, versions: 1000 }; // as much as a few statements may add
const tenantsMax = 10_000;

export class Quotas {
  readonly #usages = new Map<string, Usage>();
  readonly #measuring = new Map<string, Promise<Usage>>();
  readonly #on: boolean;

  constructor(
    /** 0 is no limit. */
    readonly limits: Amounts,
    /** Runs the measurements, apart from the statements of calls. */
    readonly run: Run,
  ) {
    this.#on = kinds.some((kind) => limits[kind] > 0);
  }

  /**
   * The room for a write that adds at most `adds`; undefined if the tenant is far from every limit, so no
   * check is needed.
   */
  async room(tenant: string, adds: Amounts): Promise<Room | undefined> {
    if (!this.#on || kinds.every((kind) => adds[kind] === 0)) return undefined;
    let usage = this.#usages.get(tenant);
    if (!usage || this.#isNear(usage)) usage = await this.#measure(tenant);
    else if (performance.now() - usage.at > ageMsMax && !this.#measuring.has(tenant))
      this.#measure(tenant).catch(() => {}); // in the background; on failure the next write tries again
    const room = this.#left(usage);
    for (const kind of kinds) usage.since[kind] += adds[kind];
    return this.#isNear(usage) ? room : undefined;
  }

  /**
   * Throws QUOTA_EXCEEDED where there is no room for `adds`. `taken` is room that was used and not measured
   * yet.
   */
  async check(tenant: string, adds: Amounts, taken = none): Promise<void> {
    const room = await this.room(tenant, adds);
    const refusal = room && quotaRefusal(room, adds, taken);
    if (refusal) throw refusal;
  }

  #left({ measured, since }: Usage): Room {
    const { limits } = this;
    const left = (kind: QuotaKind) =>
      limits[kind] === 0 ? Number.MAX_SAFE_INTEGER : limits[kind] - measured[kind] - since[kind];
    return { keys: left("keys"), bytes: left("bytes"), versions: left("versions"), limits };
  }

  #isNear(usage: Usage): boolean {
    const left = this.#left(usage);
    return kinds.some((kind) => left[kind] < near[kind]);
  }

  async #measure(tenant: string): Promise<Usage> {
    const running = this.#measuring.get(tenant);
    if (running) {
      await running.catch(() => {}); // it may have begun before this caller's last write: measure once more
      const next = this.#measuring.get(tenant);
      if (next && next !== running) return next;
    }
    const measuring = this.#runMeasurement(tenant);
    this.#measuring.set(tenant, measuring);
    try {
      return await measuring;
    } finally {
      if (this.#measuring.get(tenant) === measuring) this.#measuring.delete(tenant);
    }
  }

  async #runMeasurement(tenant: string): Promise<Usage> {
    const { keys, bytes, versions } = this.limits;
    // The server's own records are in no quota.
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
          from immutable_version v
          where v.tenant = ${tenant} and not starts_with(v.type, ${reservedTypePrefix}) and ${versions + bytes > 0}::boolean
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

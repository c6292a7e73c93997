// Limits what the stored replies of a tenant take together. When they take more, the oldest large ones are
// slimmed: they keep revisions and times only. A tenant's replies are measured every ten seconds while it
// writes, and after every eighth of the limit that this process has added.

import type { Run } from "../postgres/connection.js";
import type { DatabaseMonitor } from "../postgres/monitor.js";

/** Of more content (value and metadata) than this, an operation keeps none in its stored reply. */
const contentMax = 4096;
/** The same where the replies of the tenant take too much. What is smaller takes hardly more than its absence. */
const contentMaxBeyond = 256;
const largeMin = 1024; // smaller replies are not measured: migration 0012 has the same number
const ageMsMax = 10_000;
const stepMin = 32 * 1024;
const batchMax = 1000;
const tenantsMax = 10_000;
const work = "slim stored replies";

interface Usage {
  bytes: number;
  /** The part of `bytes` that was added since the measurement. */
  since: number;
  at: number;
  measuring: boolean;
}

export class KeptReplies {
  readonly #usages = new Map<string, Usage>();

  constructor(
    /** The limit in bytes. */
    readonly limit: number,
    /** Runs the measurements, apart from the statements of calls. */
    readonly run: Run,
    readonly monitor: Pick<DatabaseMonitor, "did" | "cannot">,
  ) {}

  /** The most content that an operation of the tenant may keep now, in bytes. */
  contentMax(tenant: string): number {
    if (this.limit === 0) return contentMaxBeyond;
    const bytes = this.#usages.get(tenant)?.bytes ?? 0;
    return bytes > 2 * this.limit ? contentMaxBeyond : contentMax; // slimming does not keep up
  }

  /** Notes a reply that was stored, and about how many bytes it takes. */
  note(tenant: string, bytes: number): void {
    const usage = this.#usages.get(tenant) ?? {
      bytes: 0,
      since: 0,
      at: Number.NEGATIVE_INFINITY,
      measuring: false,
    };
    usage.bytes += bytes;
    usage.since += bytes;
    this.#usages.delete(tenant);
    this.#usages.set(tenant, usage);
    const [oldest] = this.#usages.keys();
    if (this.#usages.size > tenantsMax && oldest !== undefined) this.#usages.delete(oldest);
    const isDue =
      usage.since > Math.max(this.limit / 8, stepMin) || performance.now() - usage.at > ageMsMax;
    if (isDue && !usage.measuring) void this.#measure(tenant, usage);
  }

  async #measure(tenant: string, usage: Usage): Promise<void> {
    usage.measuring = true;
    usage.at = performance.now();
    usage.since = 0;
    try {
      for (;;) {
        const { bytes, slimmed } = await this.#slim(tenant);
        usage.bytes = bytes + usage.since;
        if (slimmed < batchMax) break;
      }
      this.monitor.did(work);
    } catch (error) {
      this.monitor.cannot(work, error);
    } finally {
      usage.measuring = false;
    }
  }

  /** Slims a batch of the oldest large replies, if they take more than the limit. */
  async #slim(tenant: string): Promise<{ bytes: number; slimmed: number }> {
    const [row] = await this.run<{ bytes: string; slimmed: number }>(
      (sql) => sql`
        with large as materialized (
          select r.id, r.created_at, r.bytes, sum(r.bytes) over (order by r.created_at desc, r.id) as with_newer
          from request r where r.tenant = ${tenant} and r.bytes > ${largeMin}
        ), old as materialized (
          -- Below the limit, so that the next reply does not exceed it at once.
          select id, bytes from large
          where with_newer > ${Math.floor(this.limit * 0.875)}::bigint and (select sum(bytes) from large) > ${this.limit}::bigint
          order by created_at limit ${batchMax}
        ), slimmed as (
          update request r set reply = slim_reply(r.reply), bytes = null from old
          where r.tenant = ${tenant} and r.id = old.id and r.reply is not null
        )
        select (select coalesce(sum(bytes), 0) from large) - (select coalesce(sum(bytes), 0) from old) as bytes,
          (select count(*)::int from old) as slimmed`,
    );
    return { bytes: Number(row?.bytes ?? 0), slimmed: row?.slimmed ?? 0 };
  }
}

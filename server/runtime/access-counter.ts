// Counts the accesses of Get in memory and writes them in batches, one statement at a time. A clean stop
// writes what is left; a crash loses at most the last second. An entry whose row is locked is skipped and
// tried again: counting never waits for a lock.
import type { Run } from "../postgres/connection.js";
import type { DatabaseMonitor } from "../postgres/monitor.js";

interface Access {
  tenant: string;
  namespace: string;
  key: string;
  createdRevision: string;
  count: number;
  at: number; // performance.now(): only its age is sent to the database, whose clock decides
}

const work = "count the accesses of entries";
const flushMs = 500;
const entriesMax = 5000; // with this many waiting, they are written at once

export class AccessCounter {
  #pending = new Map<string, Access>();
  #flushing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    readonly run: Run,
    readonly monitor: Pick<DatabaseMonitor, "cannot" | "did">,
  ) {}

  count(tenant: string, namespace: string, key: string, createdRevision: string): void {
    const id = `${tenant}\0${namespace}\0${key}\0${createdRevision}`;
    const access = this.#pending.get(id);
    if (access) {
      access.count++;
      access.at = performance.now();
    } else {
      this.#pending.set(id, {
        tenant,
        namespace,
        key,
        createdRevision,
        count: 1,
        at: performance.now(),
      });
    }
    if (this.#pending.size >= entriesMax) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), flushMs).unref();
  }

  /**
   * Writes what this server has counted in the namespace (or for the key), before a call shows or uses it.
   */
  async settle(tenant: string, namespace: string, key?: string): Promise<void> {
    if (this.#flushing) await this.#flushing;
    for (const a of this.#pending.values())
      if (a.tenant === tenant && a.namespace === namespace && (key === undefined || a.key === key))
        return this.flush();
  }

  /** Writes what is pending. Never throws: what could not be written stays pending. */
  async flush(): Promise<void> {
    while (this.#flushing) await this.#flushing;
    if (this.#pending.size === 0) return;
    this.#flushing = this.#write().finally(() => {
      this.#flushing = undefined;
    });
    await this.#flushing;
  }

  async #write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = [...this.#pending.values()];
    this.#pending = new Map();
    try {
      const locked = await this.#insert(batch);
      this.monitor.did(work);
      for (const a of locked) this.#restore(a);
    } catch (error) {
      this.monitor.cannot(work, error);
      for (const a of batch) this.#restore(a);
    }
    if (this.#pending.size > 0 && this.#pending.size < entriesMax * 4)
      this.#timer ??= setTimeout(() => void this.flush(), flushMs).unref();
    // The database has been away for long. The counts are dropped, so that memory stays bounded.
    else if (this.#pending.size >= entriesMax * 4) this.#pending.clear();
  }

  /**
   * Adds the batch to the table. Returns the accesses that it could not add, because their entries are
   * locked.
   */
  async #insert(batch: Access[]): Promise<Access[]> {
    const now = performance.now();
    const rows = await this.run<{ ordinal: string }>(
      (sql) => sql`
        with seen as (
          select * from unnest(
            ${batch.map((a) => a.tenant)}::text[], ${batch.map((a) => a.namespace)}::text[], ${batch.map((a) => a.key)}::text[],
            ${batch.map((a) => a.createdRevision)}::bigint[], ${batch.map((a) => a.count)}::bigint[],
            ${batch.map((a) => now - a.at)}::float8[]
          ) with ordinality as seen (tenant, namespace, key, created_revision, count, age, ordinal)
        ), present as materialized (
          select ordinal from mutable join seen using (tenant, namespace, key, created_revision)
        ), free as materialized (
          select mutable.tenant, mutable.namespace, mutable.key, seen.created_revision, seen.count, seen.age, seen.ordinal
          from mutable join seen using (tenant, namespace, key, created_revision)
          order by 1, 2, 3
          for key share of mutable skip locked
        ), written as (
          insert into mutable_access as a (tenant, namespace, key, created_revision, count, accessed_at)
          select tenant, namespace, key, created_revision, count,
            date_trunc('milliseconds', clock_timestamp() - age * interval '1 millisecond')
          from free
          on conflict (tenant, namespace, key) do update set
            created_revision = excluded.created_revision,
            count = excluded.count + case when a.created_revision = excluded.created_revision then a.count else 0 end,
            accessed_at = case when a.created_revision = excluded.created_revision
              then greatest(a.accessed_at, excluded.accessed_at) else excluded.accessed_at end
          where a.created_revision <= excluded.created_revision
        )
        select ordinal from present where ordinal not in (select ordinal from free)`,
    );
    return rows.flatMap((row) => batch[Number(row.ordinal) - 1] ?? []);
  }

  #restore(access: Access): void {
    const id = `${access.tenant}\0${access.namespace}\0${access.key}\0${access.createdRevision}`;
    const newer = this.#pending.get(id);
    if (newer) newer.count += access.count;
    else this.#pending.set(id, access);
  }
}

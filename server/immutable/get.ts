import type { GetRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { codeOf } from "../errors/sqlstate.js";
import type { Call } from "../grpc/call.js";
import type { Run } from "../postgres/connection.js";
import { type Batchable, ownRow } from "../runtime/group-commit.js";
import { historyBytesMax, versionsMax } from "../storage/versions/history.js";
import { parseName, type RecordName } from "../storage/versions/name.js";
import {
  columns,
  current,
  isRecord,
  type RecordRow,
  retained,
  toRecord,
  wireSize,
} from "../storage/versions/version.js";

const batchedBytesMax = 64 * 1024; // larger data is read alone: a batch of it would fill the memory

const reads: Batchable<RecordName, RecordRow | undefined> = {
  run: findCurrent,
  lane: "reads",
  weight: () => 1,
  conflictKeys: () => [],
};

export async function get(request: GetRequest, { caller, db }: Call) {
  const name = parseName(caller, request);
  if (request.includeHistory ?? true) return findWithHistory(db.short, name, versionsMax);
  const row = await db.submit(reads, name).catch((error: unknown) => {
    if (codeOf(error) !== "55P03") throw error;
    return undefined; // the whole table is locked, and a batch waits only 100 ms: read it alone
  });
  return row?.data ? { record: toRecord(row) } : findWithHistory(db.short, name, 0);
}

/** The current version and at most `previousMax` versions before it, in one statement. */
async function findWithHistory(run: Run, name: RecordName, previousMax: number) {
  const rows = await run<RecordRow & { is_current: boolean }>(
    (sql) => sql`
      select h.type, h.id, h.first_version, h.first_created_at, v.version = h.version as is_current, ${columns(sql)}
      from immutable h
      cross join lateral (
        select v.*, coalesce(sum(${wireSize(sql)}) filter (where v.version < h.version)
          over (order by v.version desc rows between unbounded preceding and 1 preceding), 0) as bytes_before
        from (
          select v.* from immutable_version v where ${retained(sql)} and v.version <= h.version
          order by v.version desc limit ${previousMax + 1}
        ) as v
      ) as v
      where ${isRecord(sql, name)} and v.bytes_before < ${historyBytesMax}
      order by v.version`,
  );
  const row = rows.at(-1);
  return row?.is_current ? { record: toRecord(row, rows.slice(0, -1)) } : {};
}

/** The current versions of records; data is null where it is too large for a batch. */
async function findCurrent(run: Run, names: RecordName[]): Promise<(RecordRow | undefined)[]> {
  const rows = await run<RecordRow & { number: string; tenant: string }>(
    (sql) => sql`
      select asked.number, found.*
      from unnest(
        ${names.map((n) => n.tenant)}::text[], ${names.map((n) => n.type)}::text[], ${names.map((n) => n.id)}::text[]
      ) with ordinality as asked (tenant, type, id, number)
      cross join lateral (
        select h.tenant, h.type, h.id, h.first_version, h.first_created_at, v.*
        from immutable h
        cross join lateral (
          select ${columns(sql)} from (
            select v.tenant, v.type, v.id, v.version, case when v.bytes <= ${batchedBytesMax} then v.data end as data, v.user_id,
              v.metadata, v.created_at, v.agent_id, v.principal, v.request_id, v.digest, v.salt
            from immutable_version v where ${current(sql)} offset 0
          ) as v
        ) as v
        where h.tenant = asked.tenant and h.type = asked.type and h.id = asked.id
        offset 0 -- looked up one by one, whatever the statistics say
      ) as found`,
  );
  const found: (RecordRow | undefined)[] = names.map(() => undefined);
  for (const row of rows) {
    const index = Number(row.number) - 1;
    found[index] = ownRow(names[index], row);
  }
  return found;
}

import type { GetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { codeOf } from "../errors/sqlstate.js";
import type { Call } from "../grpc/call.js";
import type { CallDatabase } from "../grpc/call-database.js";
import type { Run } from "../postgres/connection.js";
import { type Batchable, ownRow } from "../runtime/group-commit.js";
import { type EntryKey, isEntry, live, parseKey } from "../storage/entries/entry.js";

interface Found {
  tenant: string;
  /** null: too large to be read in a batch. */
  value: string | null;
  revision: string;
  created_revision: string;
}

const batchedBytesMax = 64 * 1024; // a larger value is read alone: a batch of them would fill the memory

const reads: Batchable<EntryKey, Found | undefined> = {
  run: find,
  lane: "reads",
  weight: () => 1,
  conflictKeys: () => [],
};

export async function get(request: GetRequest, { caller, db, server }: Call) {
  const entry = parseKey(caller.tenant, request);
  const found = await findOne(db, entry);
  if (!found) return {};
  server.access.count(entry.tenant, entry.namespace, entry.key, found.created_revision);
  if (found.value !== null) return { valueJson: found.value, revision: found.revision };
  const [large] = await db.short<{ value: string; revision: string }>(
    (sql) => sql`
      select m.value::text as value, m.revision from mutable m where ${isEntry(sql, entry)}`,
  );
  return large ? { valueJson: large.value, revision: large.revision } : {};
}

async function findOne(db: CallDatabase, entry: EntryKey): Promise<Found | undefined> {
  try {
    return await db.submit(reads, entry);
  } catch (error) {
    if (codeOf(error) !== "55P03") throw error;
    const [alone] = await find(db.short, [entry]); // the whole table is locked, and a batch waits only 100 ms
    return alone;
  }
}

async function find(run: Run, entries: EntryKey[]): Promise<(Found | undefined)[]> {
  const rows = await run<Found & { number: string }>(
    (sql) => sql`
      select asked.number, m.*
      from unnest(
        ${entries.map((e) => e.tenant)}::text[], ${entries.map((e) => e.namespace)}::text[], ${entries.map((e) => e.key)}::text[]
      ) with ordinality as asked (tenant, namespace, key, number)
      cross join lateral (
        select m.tenant, case when m.bytes <= ${batchedBytesMax} then m.value::text end as value, m.revision, m.created_revision
        from mutable m
        where m.tenant = asked.tenant and m.namespace = asked.namespace and m.key = asked.key and ${live(sql)}
        offset 0 -- looked up one by one, whatever the statistics say
      ) as m`,
  );
  const found: (Found | undefined)[] = entries.map(() => undefined);
  for (const row of rows) {
    const index = Number(row.number) - 1;
    found[index] = ownRow(entries[index], row);
  }
  return found;
}

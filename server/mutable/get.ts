import type { GetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { codeOf } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import type { Run } from "../postgres/connection.js";
import { type Batchable, ownRow } from "../runtime/group-commit.js";
import type { EntryKey } from "../storage/entries/apply.js";
import { live, at as one } from "../storage/entries/entry.js";
import { parseKey } from "../storage/entries/operation.js";

interface Found {
  tenant: string;
  /** null: too large to be shared. */
  value: string | null;
  revision: string;
  created_revision: string;
}

const sharedBytesMax = 64 * 1024; // a larger value is read by itself: a batch of them would fill the memory

const reads: Batchable<EntryKey, Found | undefined> = {
  run: find,
  weight: () => 1,
  touches: () => [],
};

export async function get(request: GetRequest, call: Call) {
  const { tenant } = call;
  const at = parseKey(tenant, request);
  const found = await call.share(reads, at).catch(async (error: unknown) => {
    if (codeOf(error) !== "55P03") throw error;
    const [one] = await find(call.run, [at]); // somebody has locked the whole table: a shared statement waits for nobody
    return one;
  });
  if (!found) return {};
  call.access.count(tenant, at.namespace, at.key, found.created_revision);
  if (found.value !== null) return { valueJson: found.value, revision: found.revision };
  const [large] = await call.run<{ value: string; revision: string }>(
    (sql) => sql`
      select m.value::text as value, m.revision from mutable m
      where ${one(sql, tenant, at.namespace, at.key)}`,
  );
  return large ? { valueJson: large.value, revision: large.revision } : {};
}

async function find(run: Run, places: EntryKey[]): Promise<(Found | undefined)[]> {
  const rows = await run<Found & { number: string }>(
    (sql) => sql`
      select asked.number, m.*
      from unnest(
        ${places.map((p) => p.tenant)}::text[], ${places.map((p) => p.namespace)}::text[], ${places.map((p) => p.key)}::text[]
      ) with ordinality as asked (tenant, namespace, key, number)
      cross join lateral (
        select m.tenant, case when m.bytes <= ${sharedBytesMax} then m.value::text end as value, m.revision, m.created_revision
        from mutable m
        where m.tenant = asked.tenant and m.namespace = asked.namespace and m.key = asked.key and ${live(sql)}
        offset 0 -- looked up one by one, whatever the statistics say
      ) as m`,
  );
  const found: (Found | undefined)[] = places.map(() => undefined);
  for (const row of rows) {
    const place = Number(row.number) - 1;
    found[place] = ownRow(places[place], row);
  }
  return found;
}

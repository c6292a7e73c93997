import type { BatchGetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import type { Run } from "../postgres/connection.js";
import type { EntryKey } from "../storage/entries/apply.js";
import { columns, joinAccess, live, type Row, toRecord } from "../storage/entries/entry.js";
import * as check from "../validation/fields.js";

// What a record takes on the wire besides its value and metadata, at most: names, times, numbers.
const overheadBytes = check.namespaceBytesMax + check.keyBytesMax + check.userIdBytesMax + 256;

export async function batchGet(request: BatchGetRequest, { tenant, run, access, config }: Call) {
  const namespace = check.namespace(request.namespace);
  check.batch("keys", request.keys.length);
  const keys = request.keys.map((key, i) => check.key(key, `keys[${i}]`));
  if (keys.length === 0) return {};
  await access.settle(tenant, namespace);
  const places = keys.map((key) => ({ tenant, namespace, key }));
  return { results: await readAll(run, places, config.messageBytesMax) };
}

/** The entries of the places, which are one tenant's, as of one moment. */
export async function readAll(run: Run, places: EntryKey[], bytesMax: number) {
  const { tenant = "" } = places[0] ?? {};
  // The size is summed before a value is read: a reply that would be too large is one row without values.
  const rows = await run<Row & { reply_bytes: string; place: string | null }>(
    (sql) => sql`
      with m as materialized (
        select m.*, asked.place
        from unnest(
          ${places.map((p) => p.namespace)}::text[], ${places.map((p) => p.key)}::text[]
        ) with ordinality as asked (namespace, key, place)
        join mutable m on m.tenant = ${tenant} and m.namespace = asked.namespace and m.key = asked.key and ${live(sql)}
      ), reply as (
        select coalesce(sum(bytes + octet_length(metadata::text) + ${overheadBytes}::int), 0) as bytes from m
      )
      select reply.bytes as reply_bytes, m.place, ${columns(sql)}
      from reply left join m on reply.bytes <= ${bytesMax} ${joinAccess(sql)}`,
  );
  const bytes = rows[0]?.reply_bytes;
  if (Number(bytes) > bytesMax)
    throw new CortexError("REPLY_TOO_LARGE", { limit: `${bytesMax}`, got: `${bytes}` });
  const records = new Map(rows.map((row) => [Number(row.place), row]));
  return places.map((_, i) => {
    const row = records.get(i + 1);
    return row ? { record: toRecord(row) } : {};
  });
}

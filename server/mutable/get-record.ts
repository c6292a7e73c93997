import type { GetRecordRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import {
  columns,
  type EntryRow,
  isEntry,
  joinAccess,
  parseKey,
  toRecord,
} from "../storage/entries/entry.js";

export async function getRecord(request: GetRecordRequest, { caller, db, server }: Call) {
  const entry = parseKey(caller.tenant, request);
  await server.access.settle(entry.tenant, entry.namespace, entry.key);
  const [row] = await db.short<EntryRow>(
    (sql) => sql`
      select ${columns(sql)} from mutable m ${joinAccess(sql)} where ${isEntry(sql, entry)}`,
  );
  return row ? { record: toRecord(row) } : {};
}

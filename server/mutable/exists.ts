import type { ExistsRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { isEntry, parseKey } from "../storage/entries/entry.js";

export async function exists(request: ExistsRequest, { caller, db }: Call) {
  const entry = parseKey(caller.tenant, request);
  const found = await db.short((sql) => sql`select from mutable m where ${isEntry(sql, entry)}`);
  return { exists: found.length > 0 };
}

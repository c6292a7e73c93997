import type { BatchSetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { atomicWrite } from "../storage/entries/apply.js";
import { toRecord } from "../storage/entries/entry.js";
import { parseKey, parseSet } from "../storage/entries/operation.js";
import { write } from "../storage/entries/write.js";
import { idempotencyKey } from "../storage/idempotency.js";
import * as check from "../validation/fields.js";

export async function batchSet(request: BatchSetRequest, call: Call) {
  const { tenant, config } = call;
  const namespace = check.namespace(request.namespace);
  check.batch("entries", request.entries.length);
  const operations = request.entries.map((entry, i) => {
    const prefix = `entries[${i}].`;
    const at = parseKey(tenant, { namespace, key: entry.key }, prefix);
    return parseSet(at, entry, config, prefix);
  });
  if (operations.length === 0) return {};
  const places = new Map(operations.map(({ key }, i) => [key, i]));
  const again = operations.findIndex(({ key }, i) => places.get(key) !== i);
  if (again >= 0)
    throw new CortexError("INVALID_BATCH", {
      field: `entries[${places.get(operations[again]?.key ?? "")}].key`,
      problem: `names the key of entries[${again}] again`,
    });
  const key = idempotencyKey(request.requestId, "BatchSet", operations);
  const results = await write(call, atomicWrite(call, operations, key));
  return { records: results.flatMap(({ row }) => (row ? [toRecord(row)] : [])) };
}

import type { BatchSetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { atomicWrite } from "../storage/entries/atomic-write.js";
import { parseKey, toRecord } from "../storage/entries/entry.js";
import { parseSet } from "../storage/entries/operation.js";
import { entryWrites } from "../storage/entries/write.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { writeOnce } from "../storage/write-path.js";
import * as check from "../validation/fields.js";

export async function batchSet(request: BatchSetRequest, call: Call) {
  const { caller, server } = call;
  const namespace = check.namespace(request.namespace);
  check.batch("entries", request.entries.length);
  const operations = request.entries.map((message, i) => {
    const prefix = `entries[${i}].`;
    const entry = parseKey(caller.tenant, { namespace, key: message.key }, prefix);
    return parseSet(entry, message, server.config, prefix);
  });
  if (operations.length === 0) return {};
  refuseRepeatedKeys(operations);
  const guard = parseGuard(call.caller.tenant, request.claim);
  const key = idempotencyKey(request.requestId, "BatchSet", operations);
  const results = await writeOnce(call, entryWrites, atomicWrite(call, operations, key, { guard }));
  return { records: results.flatMap(({ row }) => (row ? [toRecord(row)] : [])) };
}

function refuseRepeatedKeys(entries: { key: string }[]): void {
  const lastIndexes = new Map(entries.map(({ key }, i) => [key, i]));
  const repeated = entries.findIndex(({ key }, i) => lastIndexes.get(key) !== i);
  if (repeated >= 0)
    throw new CortexError("INVALID_BATCH", {
      field: `entries[${lastIndexes.get(entries[repeated]?.key ?? "")}].key`,
      problem: `names the key of entries[${repeated}] again`,
    });
}

import type { BatchSetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import * as check from "../checks.js";
import { CortexError } from "../errors.js";
import type { Call } from "../rpc.js";
import { toRecord } from "./entry.js";
import { checkWrite, upsert } from "./write.js";

export async function batchSet(request: BatchSetRequest, { tenant, run, config }: Call) {
  const namespace = check.namespace(request.namespace);
  check.batch("entries", request.entries.length);
  const writes = request.entries.map((entry, i) =>
    checkWrite(tenant, namespace, entry, config.valueBytesMax, `entries[${i}].`),
  );
  if (writes.length === 0) return {};
  const places = new Map(writes.map(({ key }, i) => [key, i]));
  const again = writes.findIndex(({ key }, i) => places.get(key) !== i);
  if (again >= 0)
    throw new CortexError("INVALID_BATCH", {
      field: `entries[${places.get(writes[again]?.key ?? "")}].key`,
      problem: `names the key of entries[${again}] again`,
    });
  const rows = new Map((await upsert(run, writes)).map((row) => [row.key, row]));
  return {
    records: writes.flatMap(({ key }) => {
      const row = rows.get(key);
      return row ? [toRecord(row)] : [];
    }),
  };
}

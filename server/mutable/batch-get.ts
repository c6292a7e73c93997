import type { BatchGetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { readEntries } from "../storage/entries/read.js";
import * as check from "../validation/fields.js";

export async function batchGet(request: BatchGetRequest, { caller, db, server }: Call) {
  const { tenant } = caller;
  const namespace = check.namespace(request.namespace);
  check.batch("keys", request.keys.length);
  const keys = request.keys.map((key, i) => check.key(key, `keys[${i}]`));
  if (keys.length === 0) return {};
  await server.access.settle(tenant, namespace);
  const entries = keys.map((key) => ({ tenant, namespace, key }));
  return { results: await readEntries(db.short, entries, server.config.messageBytesMax) };
}

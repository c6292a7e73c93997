import type { StoreRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { historyBytesMax, previousVersions } from "../storage/versions/history.js";
import { parseStore, withIdempotencyKey } from "../storage/versions/new-version.js";
import { toRecord } from "../storage/versions/version.js";
import { versionWrites } from "../storage/versions/write.js";
import { writeOnce } from "../storage/write-path.js";

export async function store(request: StoreRequest, call: Call) {
  const { caller, db } = call;
  const guard = parseGuard(caller.tenant, request.claim);
  const stored = parseStore(call, request, { requestId: request.requestId });
  const version = { ...withIdempotencyKey(stored), guard };
  const row = await writeOnce(call, versionWrites, version);
  const showsHistory =
    (request.includeHistory ?? true) && caller.may("read") && row.first_version < row.version;
  // The version is stored by now. If the previous versions cannot be read, the reply is sent without them.
  const [previous] = showsHistory
    ? await previousVersions(db.short, caller.tenant, [row], historyBytesMax).catch(() => [])
    : [];
  return { record: toRecord(row, previous) };
}

import type { AppendRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { appendWrites, StreamUnknown } from "../storage/streams/append.js";
import { appendIdentity, appendWrite, parseAppend } from "../storage/streams/new-entries.js";
import { streamLockName } from "../storage/streams/stream.js";
import { writeOnce } from "../storage/write-path.js";

export async function append(request: AppendRequest, call: Call) {
  const { caller, server } = call;
  if (request.entries.length === 0) return {};
  const parsed = parseAppend(caller, request, server.config);
  const guard = parseGuard(caller.tenant, request.claim);
  const key = idempotencyKey(request.requestId, "Streams/Append", appendIdentity(parsed));
  const name = streamLockName(caller.tenant, parsed.stream);
  const attempt = (isKnown: boolean) =>
    writeOnce(call, appendWrites, appendWrite(parsed, { key, guard, isKnown }));
  const { ids } = await attempt(server.knownStreams.has(name)).catch((error: unknown) => {
    if (error instanceof StreamUnknown) return attempt(false);
    throw error;
  });
  server.knownStreams.add(name);
  server.bus.publish([name]);
  return { ids };
}

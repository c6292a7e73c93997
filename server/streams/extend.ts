import type { ExtendRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { parseDeliveries, parseGroup } from "../storage/streams/group.js";
import { settleWrite, settleWrites } from "../storage/streams/settle.js";
import { writeOnce } from "../storage/write-path.js";
import { idText } from "../validation/stream-fields.js";

export async function extend(request: ExtendRequest, call: Call) {
  if (request.deliveries.length === 0) return {};
  const group = parseGroup(call, request);
  const deliveries = parseDeliveries(request.deliveries);
  const write = settleWrite(group, { kind: "extend" }, deliveries);
  const { held } = await writeOnce(call, settleWrites, write);
  return { held: held.map((one) => ({ id: idText(one), delivery: one.delivery })) };
}

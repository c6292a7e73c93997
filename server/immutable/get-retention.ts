import type { GetRetentionRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";

export async function getRetention(_: GetRetentionRequest, { server }: Call) {
  const { defaultVersions, byType } = server.config.retention;
  return { defaultVersions, byType: Object.fromEntries(byType) };
}

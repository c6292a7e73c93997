// The gRPC status and trailers of a failed call.
import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { status as Code, Metadata } from "@grpc/grpc-js";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import { type CortexError, codeOfReason, type Details, type Reason } from "./reasons.js";

export function toStatus(error: CortexError): { code: Code; details: string; metadata: Metadata } {
  const code = codeOfReason(error.reason);
  const info = create(ErrorInfoSchema, {
    reason: error.reason,
    domain: "cortex.store",
    metadata: error.details,
  });
  const status = create(StatusSchema, {
    code,
    message: error.message,
    details: [anyPack(ErrorInfoSchema, info), ...retryInfo(error.details)],
  });
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, status)));
  return { code, details: error.message, metadata };
}

/** The name of the gRPC status of a reason: `NOT_FOUND`. */
export const statusName = (reason: Reason): string => Code[codeOfReason(reason)];

/** The standard form of `retry_after_ms`, for clients that know only google.rpc.RetryInfo. */
function retryInfo({ retry_after_ms: ms }: Details): Any[] {
  if (ms === undefined) return [];
  const info = create(RetryInfoSchema, { retryDelay: durationFromMs(Number(ms)) });
  return [anyPack(RetryInfoSchema, info)];
}

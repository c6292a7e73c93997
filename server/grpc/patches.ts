// The places where grpc-js bends what a caller sent or misnames what was wrong with it, and offers no public
// way to change that: here its prototypes are patched, and nowhere else.
import { status as Code, Metadata } from "@grpc/grpc-js";
import { BaseServerInterceptingCall } from "@grpc/grpc-js/build/src/server-interceptors.js";
import { CortexError } from "../errors/reasons.js";
import { toStatus } from "../errors/status.js";

export const tenantHeader = "x-tenant-id";
export const agentHeader = "x-agent-id";

// grpc-js drops a header that is not printable ASCII. A call that names such a tenant would then be one of
// the tenant "". So the dropped header leaves a binary one, which is refused.
const fromHttp2Headers = Metadata.fromHttp2Headers;
Metadata.fromHttp2Headers = (headers) => {
  const metadata = fromHttp2Headers(headers);
  for (const header of [tenantHeader, agentHeader])
    if (headers[header] && metadata.get(header).length === 0)
      metadata.set(`${header}-bin`, Buffer.from("dropped"));
  return metadata;
};

/** The values of a header; a Buffer among them stands for one that grpc-js dropped. */
export const headerValues = (metadata: Metadata, header: string) => [
  ...metadata.get(header),
  ...metadata.get(`${header}-bin`),
];

// For a malformed timeout, compression or frame grpc-js answers INTERNAL before any handler. It is the
// caller's mistake.
const callersMistake = /^(Invalid grpc-timeout|Failed to decompress|Error deserializing request)/;
const { sendStatus } = BaseServerInterceptingCall.prototype;
BaseServerInterceptingCall.prototype.sendStatus = function (status) {
  const problem = callersMistake.exec(status.details ?? "")?.[0].toLowerCase();
  const isMistake = status.code === Code.INTERNAL && problem !== undefined;
  sendStatus.call(
    this,
    isMistake ? toStatus(new CortexError("MALFORMED_REQUEST", { problem })) : status,
  );
};

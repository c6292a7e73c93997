// Bytes <-> messages, and the places where the libraries bend what was sent, or misname what was wrong with it.
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { configureTextEncoding, getTextEncoding } from "@bufbuild/protobuf/wire";
import { status as Code, Metadata } from "@grpc/grpc-js";
import { BaseServerInterceptingCall } from "@grpc/grpc-js/build/src/server-interceptors.js";
import { CortexError, toStatus } from "../errors/reasons.js";

// A byte order mark is text like any other: the decoder's default would drop it, and two keys would be one.
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const utf8Strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
configureTextEncoding({
  ...getTextEncoding(),
  decodeUtf8: (bytes, strict) => (strict ? utf8Strict : utf8).decode(bytes),
});

// grpc-js drops a header that is not printable ASCII, so a call that names such a tenant would be one of the tenant "", and a version
// that such an agent stores nobody's.
export const tenantHeader = "x-tenant-id";
export const agentHeader = "x-agent-id";
const fromHttp2Headers = Metadata.fromHttp2Headers;
Metadata.fromHttp2Headers = (headers) => {
  const metadata = fromHttp2Headers(headers);
  for (const header of [tenantHeader, agentHeader])
    if (headers[header] && metadata.get(header).length === 0)
      metadata.set(`${header}-bin`, Buffer.from("dropped"));
  return metadata;
};

// What grpc-js itself cannot make sense of in a request it answers with INTERNAL, before any handler: it is the caller's mistake.
const mistaken = /^(Invalid grpc-timeout|Failed to decompress|Error deserializing request)/;
const { sendStatus } = BaseServerInterceptingCall.prototype;
BaseServerInterceptingCall.prototype.sendStatus = function (status) {
  const problem = mistaken.exec(status.details ?? "")?.[0].toLowerCase();
  const refused = status.code === Code.INTERNAL && problem !== undefined;
  sendStatus.call(
    this,
    refused ? toStatus(new CortexError("MALFORMED_REQUEST", { problem })) : status,
  );
};

export const encoder = (schema: DescMessage) => (init: MessageInitShape<DescMessage>) => {
  const bytes = toBinary(schema, create(schema, init));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
};

// grpc-js answers INTERNAL where decoding throws, so what cannot be decoded travels to the handler as its refusal.
export function decode(schema: DescMessage, bytes: Buffer, bytesMax: number): unknown {
  if (bytes.length > bytesMax)
    return new CortexError("MESSAGE_TOO_LARGE", { limit: `${bytesMax}`, got: `${bytes.length}` });
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    const problem = error instanceof Error ? error.message : "it is not a message";
    return new CortexError("MALFORMED_REQUEST", { problem });
  }
}

// Patches to the internals of the gRPC libraries; no other file changes them. Each is for a place where a
// library alters or misreports what a caller sent, or what we serve, and offers no public way to change that.
import {
  constants,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { status as Code, Metadata, type Server } from "@grpc/grpc-js";
import { BaseServerInterceptingCall } from "@grpc/grpc-js/build/src/server-interceptors.js";
import { StreamDecoder } from "@grpc/grpc-js/build/src/stream-decoder.js";
import type { ReflectionService } from "@grpc/reflection";
import { isPublic } from "../auth/interceptor.js";
import { CortexError } from "../errors/reasons.js";
import { toStatus } from "../errors/status.js";
import { requestBytes } from "./request-bytes.js";

export const tenantHeader = "x-tenant-id";
export const agentHeader = "x-agent-id";

// grpc-js drops a header that is not printable ASCII. A call that names such a tenant would then count as a
// call of the tenant "". So a binary header takes the place of the dropped one, and the call is refused.
const fromHttp2Headers = Metadata.fromHttp2Headers;
Metadata.fromHttp2Headers = (headers) => {
  const metadata = fromHttp2Headers(headers);
  for (const header of [tenantHeader, agentHeader])
    if (headers[header] && metadata.get(header).length === 0)
      metadata.set(`${header}-bin`, Buffer.from("dropped"));
  return metadata;
};

/** The values of a header; a Buffer among them stands for one that grpc-js dropped. */
export function headerValues(metadata: Metadata, header: string) {
  const binary = metadata.get(`${header}-bin`);
  const values = metadata.get(header);
  return binary.length === 0 ? values : [...values, ...binary];
}

// For a malformed timeout, compression or frame, grpc-js answers INTERNAL before any handler runs. But this
// is the caller's mistake, so the answer becomes MALFORMED_REQUEST.
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

// grpc-js waits for a deadline by a timer, which takes 24.8 days at most. A longer timeout would end the call
// at once, so it is shortened.
const timeoutSecondsMax = 2_147_483;
const prototype = BaseServerInterceptingCall.prototype as unknown as {
  handleTimeoutHeader(header: unknown): void;
};
const { handleTimeoutHeader } = prototype;
prototype.handleTimeoutHeader = function (header) {
  // The pattern is that of grpc-js. Of the smaller units, no amount is too long.
  const [, amount, unit = ""] = /(\d{1,8})\s*([HMSmun])/.exec(String(header)) ?? [];
  const seconds = Number(amount) * ({ H: 3600, M: 60, S: 1 }[unit] ?? 0);
  handleTimeoutHeader.call(this, seconds > timeoutSecondsMax ? `${timeoutSecondsMax}S` : header);
};

// grpc-js takes in whatever a caller sends. Here the bytes are counted before; those of a refused call are
// dropped. Without credentials, no more is taken in than health and reflection need.
const publicBytesMax = 4096; // the name of a service, of a file, of a symbol
const publicCallBytesMax = 64 * 1024; // a stream of reflection has several messages
interface ReceivingCall {
  checkCancelled(): boolean;
  metadata: Metadata;
  handler: { path: string };
  maxReceiveMessageSize: number;
  stream: { once(event: "close", listener: () => void): void; close(code: number): void };
  decoder: Pick<StreamDecoder, "write">;
  counted?: boolean;
  bytes?: number;
  refused?: boolean;
  sendStatus(status: ReturnType<typeof toStatus>): void;
}
const receiving = BaseServerInterceptingCall.prototype as unknown as {
  handleDataFrame(this: ReceivingCall, data: Buffer): void;
  decompressAndMaybePush(this: ReceivingCall, message: object): void;
};
const { handleDataFrame, decompressAndMaybePush } = receiving;
receiving.handleDataFrame = function (data) {
  if (this.refused) return;
  if (!this.counted) {
    this.counted = true;
    if (isPublic(this.handler.path)) {
      this.maxReceiveMessageSize = publicBytesMax;
      this.decoder = new StreamDecoder(publicBytesMax);
    }
    this.stream.once("close", () => requestBytes.release(this.metadata));
  }
  this.bytes = (this.bytes ?? 0) + data.length;
  if (isPublic(this.handler.path) && this.bytes > publicCallBytesMax) {
    this.refused = true;
    this.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM); // clients take it for RESOURCE_EXHAUSTED
    return;
  }
  const refusal = requestBytes.receive(this.metadata, data.length);
  if (!refusal) return handleDataFrame.call(this, data);
  this.refused = true;
  this.decoder = { write: () => [] }; // frees what it holds of the message
  requestBytes.release(this.metadata);
  this.sendStatus(toStatus(refusal));
};

// A message is decoded once the packet that it came in is read to its end, unless the packet resets its call.
receiving.decompressAndMaybePush = function (message) {
  setImmediate(() => {
    if (!this.checkCancelled()) decompressAndMaybePush.call(this, message);
  });
};

export type StreamListener = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
) => void;

/** The HTTP/2 server of a connection injector, to which grpc-js gives no access. */
export function http2ServerOf(server: Server): Http2Server {
  const { http2Servers } = server as unknown as { http2Servers: Map<Http2Server, unknown> };
  const [http2] = http2Servers.keys();
  if (!http2) throw new Error("the server has no connection injector");
  return http2;
}

/** True if the server has the RPC. */
export const hasMethod = (server: Server, path: string): boolean =>
  (server as unknown as { handlers: Map<string, unknown> }).handlers.has(path);

/** Answers a call with an error before grpc-js has seen it. */
export function refuse(stream: ServerHttp2Stream, reason: CortexError): void {
  const { code, details, metadata } = toStatus(reason);
  const headers = {
    ":status": 200,
    "content-type": "application/grpc+proto",
    "grpc-status": code,
    "grpc-message": encodeURI(details),
    ...metadata.toHttp2Headers(),
  };
  stream.respond(headers, { endStream: true });
}

interface ReflectionInsides {
  files: Record<string, object>;
  fileEncodings: Map<object, Uint8Array>;
  extensions: Record<string, unknown>;
}

/**
 * Lets reflection serve the files as they were compiled. @grpc/reflection (1.0.4) encodes them anew without
 * their custom options, and indexes extensions under a name with a leading dot, which no request asks for.
 */
export function serveUnchanged(service: ReflectionService, files: Map<string, Uint8Array>): void {
  for (const insides of Object.values(service) as ReflectionInsides[]) {
    for (const [name, file] of Object.entries(insides.files)) {
      const bytes = files.get(name);
      if (bytes) insides.fileEncodings.set(file, bytes);
    }
    for (const [type, found] of Object.entries(insides.extensions))
      insides.extensions[type.replace(/^\./, "")] = found;
  }
}

// Sends raw HTTP/2 requests, to test requests that no gRPC library would send.
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from "node:http2";

export interface Reply {
  /** The HTTP status; undefined if the stream was reset. */
  http: number | undefined;
  /** The gRPC status; undefined if there was none. */
  grpc: string | undefined;
  message: string;
}

/** Puts the gRPC prefix (compression flag, length) before a message. */
export function framed(
  message: Uint8Array,
  { compressed = 0, length = message.length } = {},
): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed;
  head.writeUInt32BE(length >>> 0, 1);
  return Buffer.concat([head, message]);
}

export class Session {
  readonly #address: string;
  #session: ClientHttp2Session | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  /** Sends headers and bytes to a method. Resolves even if the call fails. */
  send(path: string, headers: OutgoingHttpHeaders, bytes: Buffer): Promise<Reply> {
    const reply: Reply = { http: undefined, grpc: undefined, message: "" };
    return new Promise((resolve) => {
      const done = () => resolve(reply);
      try {
        const stream = this.#open().request({
          ":method": "POST",
          ":path": path,
          "content-type": "application/grpc",
          te: "trailers",
          ...headers,
        });
        const seen = (fields: Record<string, unknown>) => {
          reply.http ??= fields[":status"] as number | undefined;
          if (fields["grpc-status"] !== undefined) reply.grpc = String(fields["grpc-status"]);
          reply.message = String(fields["grpc-message"] ?? reply.message);
        };
        stream.on("response", seen).on("trailers", seen);
        stream.on("error", done).on("close", done);
        stream.resume();
        stream.end(bytes);
      } catch (error) {
        reply.message = String(error);
        done();
      }
    });
  }

  close(): void {
    this.#session?.destroy();
  }

  #open(): ClientHttp2Session {
    if (!this.#session || this.#session.closed || this.#session.destroyed) {
      this.#session = connect(`http://${this.#address}`, { maxSessionMemory: 10_000 }); // MB
      this.#session.setMaxListeners(0).on("error", () => {});
    }
    return this.#session;
  }
}

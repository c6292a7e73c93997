// Generates load of unary gRPC calls at little cost. A gRPC client in Node costs three times as much as the
// server, so a benchmark with it would measure the client. This class writes HTTP/2 frames itself. Of a reply
// it reads only the end and the trailers.
import { connect, type Socket } from "node:net";

export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const frameType = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  window: 8,
};
export const flag = { ack: 1, endStream: 1, endHeaders: 4 };

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);

/** HPACK headers without compression: each is sent literally and enters no dynamic table. */
export const headers = (authority: string, path: string, more: Record<string, string>) =>
  Buffer.concat([
    Buffer.from([0x83, 0x86, 0x04]),
    text(path),
    Buffer.from([0x01]),
    text(authority),
    ...Object.entries({ "content-type": "application/grpc", te: "trailers", ...more }).map(
      ([name, value]) => Buffer.concat([Buffer.from([0x00]), text(name), text(value)]),
    ),
  ]);

export class Load {
  readonly #socket: Socket;
  readonly #address: string;
  #stream = -1;
  #window = 65_535;
  #rest: Buffer = Buffer.alloc(0);
  #out: Buffer[] = [];
  readonly #blocked: (() => void)[] = [];
  readonly #pending = new Map<number, { resolve(): void; reject(error: Error): void }>();
  /** The trailers of a successful call. All successful calls have the same trailer bytes. */
  #success: Buffer | undefined;

  constructor(
    address: string,
    readonly more: Record<string, string> = {},
  ) {
    const [host, port] = address.split(":");
    this.#address = address;
    this.#socket = connect(Number(port), host);
    this.#socket.setNoDelay(true);
    this.#socket.on("data", (chunk) => this.#read(chunk));
    this.#socket.on("error", (error) => this.#fail(error));
    this.#socket.on("close", () => this.#fail(new Error("the connection was closed")));
    const settings = Buffer.alloc(12);
    settings.writeUInt16BE(1, 0); // no dynamic table, so that equal headers are equal bytes
    settings.writeUInt16BE(4, 6);
    settings.writeUInt32BE(2 ** 31 - 1, 8);
    const window = Buffer.alloc(4);
    window.writeUInt32BE(2 ** 31 - 1 - 65_535);
    this.#send(
      preface,
      frame(frameType.settings, 0, 0, settings),
      frame(frameType.window, 0, 0, window),
    );
  }

  /**
   * Calls an RPC with a message. The first call must succeed, because later trailers are compared with its
   * trailers.
   */
  call(path: string, message: Uint8Array, more: Record<string, string> = this.more): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        this.#stream += 2;
        this.#pending.set(this.#stream, { resolve, reject });
        const prefix = Buffer.alloc(5);
        prefix.writeUInt32BE(message.length, 1);
        const body = Buffer.concat([prefix, message]);
        this.#window -= body.length;
        this.#send(
          frame(
            frameType.headers,
            flag.endHeaders,
            this.#stream,
            headers(this.#address, path, more),
          ),
          frame(frameType.data, flag.endStream, this.#stream, body),
        );
      };
      if (this.#window > message.length + 5) go();
      else this.#blocked.push(go);
    });
  }

  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #send(...buffers: Buffer[]): void {
    if (this.#out.length === 0)
      setImmediate(() => {
        this.#socket.write(Buffer.concat(this.#out));
        this.#out = [];
      });
    this.#out.push(...buffers);
  }

  #fail(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    while (bytes.length >= 9) {
      const length = bytes.readUIntBE(0, 3);
      if (bytes.length < 9 + length) break;
      const stream = bytes.readUInt32BE(5) & 0x7fffffff;
      this.#frame(bytes[3] ?? 0, bytes[4] ?? 0, stream, bytes.subarray(9, 9 + length));
      bytes = bytes.subarray(9 + length);
    }
    this.#rest = bytes;
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (type === frameType.headers && flags & flag.endStream) this.#end(stream, payload);
    else if (type === frameType.reset) this.#end(stream, undefined);
    else if (type === frameType.settings && !(flags & flag.ack))
      this.#send(frame(frameType.settings, flag.ack, 0, Buffer.alloc(0)));
    else if (type === frameType.ping && !(flags & flag.ack))
      this.#send(frame(frameType.ping, flag.ack, 0, payload));
    else if (type === frameType.goaway) this.#fail(new Error("the server goes away"));
    else if (type === frameType.window && stream === 0) {
      this.#window += payload.readUInt32BE(0);
      while (this.#window > 16_384 && this.#blocked.length > 0) this.#blocked.shift()?.();
    }
  }

  #end(stream: number, trailers: Buffer | undefined): void {
    const pending = this.#pending.get(stream);
    this.#pending.delete(stream);
    if (trailers) this.#success ??= Buffer.from(trailers);
    if (trailers && this.#success?.equals(trailers)) pending?.resolve();
    else pending?.reject(new Error("a call failed"));
  }
}

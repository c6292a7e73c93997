// A client that sends a call and reads nothing of the reply, or only its first bytes: its HTTP/2 window is 0, or small.
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { framed } from "./frames.js";

export class Stalled {
  /** Resolves when the headers of the reply arrive. */
  readonly begun: Promise<void>;
  readonly trailers: Promise<Record<string, unknown>>;
  readonly closed: Promise<void>;
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;

  /**
   * Calls a method of MutableStore for a namespace, or of another service for what its first field names. `more` is the
   * rest of the request, encoded.
   */
  constructor(
    address: string,
    method: string,
    namespace: string,
    more: Uint8Array = Buffer.alloc(0),
    headers: Record<string, string> = {},
    { service = MutableStore.typeName as string, windowBytes = 0 } = {},
  ) {
    this.#session = connect(`http://${address}`, { settings: { initialWindowSize: windowBytes } });
    this.#session.on("error", () => {});
    const stream = this.#session.request({
      ":method": "POST",
      ":path": `/${service}/${method}`,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    stream.on("error", () => {});
    if (windowBytes > 0) stream.once("data", () => stream.pause());
    else stream.resume();
    this.#stream = stream;
    const name = Buffer.concat([Buffer.from([0x0a, namespace.length]), Buffer.from(namespace)]);
    stream.end(framed(Buffer.concat([name, more])));
    this.begun = new Promise((resolve) => stream.once("response", () => resolve()));
    this.trailers = new Promise((resolve) => stream.once("trailers", resolve));
    this.closed = new Promise((resolve) => this.#session.once("close", () => resolve()));
  }

  /** Opens the window and reads everything. */
  read(): void {
    this.#stream.resume();
    this.#session.settings({ initialWindowSize: 2 ** 30 }, () =>
      this.#session.setLocalWindowSize(2 ** 30),
    );
  }

  close(): void {
    this.#session.destroy();
  }
}

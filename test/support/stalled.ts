// A client that sends a call and reads nothing of the reply: its HTTP/2 window is 0.
import { type ClientHttp2Session, connect } from "node:http2";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { framed } from "./frames.js";

export class Stalled {
  /** Resolves when the headers of the reply arrive. */
  readonly begun: Promise<void>;
  readonly trailers: Promise<Record<string, unknown>>;
  readonly closed: Promise<void>;
  readonly #session: ClientHttp2Session;

  /** Calls a method of MutableStore for a namespace. `more` is the rest of the request, encoded. */
  constructor(
    address: string,
    method: string,
    namespace: string,
    more: Uint8Array = Buffer.alloc(0),
    headers: Record<string, string> = {},
  ) {
    this.#session = connect(`http://${address}`, { settings: { initialWindowSize: 0 } });
    this.#session.on("error", () => {});
    const stream = this.#session.request({
      ":method": "POST",
      ":path": `/${MutableStore.typeName}/${method}`,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    stream.on("error", () => {}).resume();
    const name = Buffer.concat([Buffer.from([0x0a, namespace.length]), Buffer.from(namespace)]);
    stream.end(framed(Buffer.concat([name, more])));
    this.begun = new Promise((resolve) => stream.once("response", () => resolve()));
    this.trailers = new Promise((resolve) => stream.once("trailers", resolve));
    this.closed = new Promise((resolve) => this.#session.once("close", () => resolve()));
  }

  /** Opens the window and reads everything. */
  read(): void {
    this.#session.settings({ initialWindowSize: 2 ** 30 }, () =>
      this.#session.setLocalWindowSize(2 ** 30),
    );
  }

  close(): void {
    this.#session.destroy();
  }
}

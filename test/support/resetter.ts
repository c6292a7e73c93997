// A caller that opens calls and resets them. It writes HTTP/2 frames itself, because no library sends a call
// and its reset in one packet.
import { connect, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { flag, frame, frameType, headers, preface } from "../../bench/load.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { framed } from "./frames.js";

const { set } = MutableStore.method;
const path = `/${MutableStore.typeName}/${set.name}`;
const message = framed(
  toBinary(set.input, create(set.input, { namespace: "reset", key: "k", valueJson: "1" })),
);
const cancel = Buffer.from([0, 0, 0, 8]);

export class Resetter {
  isClosed = false;
  readonly closed: Promise<void>;
  /** The error code with which the server ended the connection. */
  goaway: number | undefined;
  readonly #socket: Socket;
  readonly #headers: Buffer;
  #stream = -1;
  #onPong: (() => void) | undefined;

  constructor(address: string) {
    const [host, port] = address.split(":");
    this.#headers = headers(address, path, {});
    this.#socket = connect(Number(port), host).setNoDelay(true);
    this.#socket.on("error", () => {}).on("data", (bytes) => this.#read(bytes));
    this.closed = new Promise((resolve) =>
      this.#socket.once("close", () => {
        this.isClosed = true;
        resolve();
      }),
    );
    this.#socket.write(Buffer.concat([preface, frame(frameType.settings, 0, 0, Buffer.alloc(0))]));
  }

  /** Opens calls, and sends no message yet. Returns their streams. */
  open(count: number): number[] {
    const streams = Array.from({ length: count }, () => (this.#stream += 2));
    this.#write(streams.map((stream) => this.#opened(stream)));
    return streams;
  }

  /** Sends the messages of calls, and resets the calls in the same packet. */
  reset(streams: number[]): void {
    this.#write(streams.flatMap((stream) => [sent(stream), wasReset(stream)]));
  }

  /** Opens calls, sends their messages and resets them, all in one packet. Resolves when it is sent. */
  async openAndReset(count: number): Promise<void> {
    const streams = Array.from({ length: count }, () => (this.#stream += 2));
    const isTaken = this.#write(
      streams.flatMap((stream) => [this.#opened(stream), sent(stream), wasReset(stream)]),
    );
    const drained = () => new Promise((resolve) => this.#socket.once("drain", resolve));
    await Promise.race([this.closed, isTaken ? turn() : drained()]);
  }

  /** True if the server keeps this connection open. */
  async isKept(): Promise<boolean> {
    // It closes a connection one turn later, so the first answer may still come.
    return (await this.#ping()) && (await this.#ping());
  }

  #ping(): Promise<boolean> {
    this.#write([frame(frameType.ping, 0, 0, Buffer.alloc(8))]);
    const pong = new Promise<boolean>((resolve) => {
      this.#onPong = () => resolve(true);
    });
    return Promise.race([pong, this.closed.then(() => false)]);
  }

  close(): void {
    this.#socket.destroy();
  }

  #opened(stream: number): Buffer {
    return frame(frameType.headers, flag.endHeaders, stream, this.#headers);
  }

  #write(frames: Buffer[]): boolean {
    return this.#socket.write(Buffer.concat(frames));
  }

  /** Reads frames. The server sends them one by one, so none comes in two parts. */
  #read(bytes: Buffer): void {
    for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
      if (bytes[at + 3] === frameType.ping) this.#onPong?.();
      if (bytes[at + 3] === frameType.goaway) {
        this.goaway ??= bytes.readUInt32BE(at + 13);
        this.#socket.destroy();
      }
    }
  }
}

const sent = (stream: number) => frame(frameType.data, flag.endStream, stream, message);
const wasReset = (stream: number) => frame(frameType.reset, 0, stream, cancel);

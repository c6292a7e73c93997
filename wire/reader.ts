// Reads the wire format of protobuf. Whatever is not as every encoder writes it, it leaves to the library (codec.ts).
import { unusual } from "./writer.js";

export class Reader {
  at = 0;

  constructor(readonly bytes: Buffer) {}

  uint32(): number {
    const { bytes } = this;
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = bytes[this.at++];
      if (byte === undefined) throw unusual;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = bytes[this.at++];
    if (last === undefined || last > 0x0f) throw unusual;
    return (value | (last << 28)) >>> 0;
  }

  int32(): number {
    const start = this.at;
    const end = start + 5;
    for (let at = start; at < end; at++) if ((this.bytes[at] ?? 0) < 0x80) return this.uint32() | 0;
    return Number(BigInt.asIntN(32, this.bigint())); // negative: ten bytes
  }

  bool(): boolean {
    const byte = this.bytes[this.at++];
    if (byte === undefined || byte > 1) throw unusual;
    return byte === 1;
  }

  /** The next bytes as a number that is safe; undefined, and nothing is read, if it takes more than seven bytes. */
  #small(): number | undefined {
    const { bytes, at } = this;
    let value = 0;
    let factor = 1;
    for (let next = at; next < at + 7; factor *= 128) {
      const byte = bytes[next++];
      if (byte === undefined) throw unusual;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        this.at = next;
        return value;
      }
    }
    return undefined;
  }

  bigint(): bigint {
    const small = this.#small();
    if (small !== undefined) return BigInt(small);
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw unusual;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw unusual;
  }

  /** A whole number of 64 bits as decimal text. */
  decimal(): string {
    const small = this.#small();
    return small === undefined ? `${this.bigint()}` : `${small}`;
  }

  double(): number {
    const { at } = this;
    if (at + 8 > this.bytes.length) throw unusual;
    this.at += 8;
    return this.bytes.readDoubleLE(at);
  }

  /** The end of a part whose length comes first. */
  end(): number {
    const length = this.uint32();
    const end = this.at + length;
    if (end > this.bytes.length) throw unusual;
    return end;
  }

  data(): Uint8Array {
    const end = this.end();
    const { at } = this;
    this.at = end;
    return new Uint8Array(this.bytes.subarray(at, end));
  }

  /** Text. A byte order mark is text like any other. */
  string(): string {
    const end = this.end();
    const text = this.bytes.toString("utf8", this.at, end);
    if (text.includes("\ufffd")) throw unusual; // most likely it is not UTF-8
    this.at = end;
    return text;
  }
}

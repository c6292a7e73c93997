// Writes the wire format of protobuf into a buffer that grows and is used again.

/** A value that only the library writes, or refuses: see codec.ts. */
export const unusual = new Error("the library must encode or decode this message");

const keptBytesMax = 256 * 1024;
const largeChars = 4096; // of a longer text the bytes are counted: three for each character would be too much

export class Writer {
  #bytes = Buffer.allocUnsafe(4096);
  #at = 0;

  /** The bytes that were written, in a buffer of their own. Starts anew. */
  finish(): Buffer {
    const bytes = Buffer.allocUnsafe(this.#at);
    this.#bytes.copy(bytes, 0, 0, this.#at);
    this.reset();
    return bytes;
  }

  reset(): void {
    this.#at = 0;
    if (this.#bytes.length > keptBytesMax) this.#bytes = Buffer.allocUnsafe(4096);
  }

  #need(more: number): void {
    const length = this.#at + more;
    if (length <= this.#bytes.length) return;
    const bytes = Buffer.allocUnsafe(Math.max(length, 2 * this.#bytes.length));
    this.#bytes.copy(bytes, 0, 0, this.#at);
    this.#bytes = bytes;
  }

  /** A whole number from 0 to 2^32 - 1. */
  uint32(value: number): void {
    this.#need(5);
    this.#at = putVarint(this.#bytes, this.#at, value);
  }

  int32(value: number): void {
    if (value >= 0) this.uint32(value);
    else this.#int64(BigInt(value));
  }

  /** A whole number of 64 bits, as a bigint or as decimal text. */
  int64(value: bigint | string): void {
    const number = Number(value);
    if (number >= 0 && number <= Number.MAX_SAFE_INTEGER) this.#safe(number);
    else this.#int64(BigInt(value));
  }

  #safe(value: number): void {
    this.#need(10);
    let rest = value;
    while (rest > 0x7fffffff) {
      this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#at = putVarint(this.#bytes, this.#at, rest);
  }

  #int64(value: bigint): void {
    if (BigInt.asIntN(64, value) !== value) throw unusual;
    this.#need(10);
    let rest = BigInt.asUintN(64, value);
    for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.#at++] = Number(rest);
  }

  double(value: number): void {
    this.#need(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  bytes(value: Uint8Array): void {
    this.uint32(value.length);
    this.#need(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  string(value: string): void {
    const { length } = value;
    this.#need((length < largeChars ? 3 * length : Buffer.byteLength(value)) + 5);
    const start = this.#at;
    // The length is known once the text is written: its place is as long as if each character took one byte.
    const room = varintLength(length);
    const written = this.#bytes.write(value, start + room);
    const taken = varintLength(written);
    if (taken > room) this.#bytes.copyWithin(start + taken, start + room, start + room + written);
    putVarint(this.#bytes, start, written);
    this.#at = start + taken + written;
  }

  /** Begins a part whose length comes before it. Gives its place, for `end`. */
  begin(): number {
    this.#need(1);
    return this.#at++;
  }

  end(place: number): void {
    const length = this.#at - place - 1;
    const taken = varintLength(length);
    if (taken > 1) {
      this.#need(taken);
      this.#bytes.copyWithin(place + taken, place + 1, this.#at);
      this.#at += taken - 1;
    }
    putVarint(this.#bytes, place, length);
  }
}

function putVarint(bytes: Buffer, at: number, value: number): number {
  let rest = value;
  let next = at;
  for (; rest > 0x7f; rest >>>= 7) bytes[next++] = (rest & 0x7f) | 0x80;
  bytes[next++] = rest;
  return next;
}

const varintLength = (value: number): number =>
  value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;

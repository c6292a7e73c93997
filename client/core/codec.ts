// Encodes and decodes protobuf messages.
import {
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { configureTextEncoding, getTextEncoding } from "@bufbuild/protobuf/wire";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

// These decoders keep a byte order mark. The library's text decoder drops it, so two keys that differ only in
// the mark would become one.
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const utf8Strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const decodeUtf8 = (bytes: Uint8Array, strict?: boolean) =>
  (strict ? utf8Strict : utf8).decode(bytes);

type TextEncoding = ReturnType<typeof getTextEncoding>;
/**
 * A cache for `decode`: `base` is the text encoding of the host application as last seen, `ours` is a copy of
 * it with our text decoder.
 */
let base: TextEncoding | undefined;
let ours: TextEncoding | undefined;

/**
 * Decodes with our text decoder. The library has one text decoder for the whole process, and it belongs to
 * the host application. So the host's decoder is put back at once, before any other code can run.
 */
function decode<O extends DescMessage>(schema: O, bytes: Uint8Array): MessageShape<O> {
  const others = getTextEncoding();
  if (others !== base) {
    base = others;
    ours = { ...others, decodeUtf8 };
  }
  configureTextEncoding(ours as TextEncoding);
  try {
    return fromBinary(schema, bytes);
  } finally {
    configureTextEncoding(others);
  }
}

export const pathOf = (method: DescMethod) => `/${method.parent.typeName}/${method.name}`;

export const encoder =
  <I extends DescMessage>(schema: I) =>
  (message: MessageShape<I>) => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };

export const decoder =
  <O extends DescMessage>(schema: O) =>
  (bytes: Buffer) =>
    decode(schema, bytes);

/** The time as a Date; an invalid Date if the message has none. */
export const toDate = (time: Timestamp | undefined): Date =>
  time ? timestampDate(time) : new Date(Number.NaN);

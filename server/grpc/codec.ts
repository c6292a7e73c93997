// Bytes <-> messages.
import {
  create,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
  fromBinary as protobufFromBinary,
  toBinary,
} from "@bufbuild/protobuf";
import { configureTextEncoding, getTextEncoding } from "@bufbuild/protobuf/wire";
import { CortexError } from "../errors/reasons.js";

// A byte order mark is text like any other. The library's text decoder drops it, so two keys would become
// one.
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const utf8Strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const decodeUtf8 = (bytes: Uint8Array, strict?: boolean) =>
  (strict ? utf8Strict : utf8).decode(bytes);

type TextEncoding = ReturnType<typeof getTextEncoding>;
/** `base` is the encoding that the library had last. `ours` is `base` with our text decoder. */
let base: TextEncoding | undefined;
let ours: TextEncoding | undefined;

/**
 * Decodes with our text decoder. The library has one text encoding for the whole process, so the one that was
 * set before is put back at once.
 */
function fromBinary<S extends DescMessage>(schema: S, bytes: Uint8Array): MessageShape<S> {
  const others = getTextEncoding();
  if (others !== base) {
    base = others;
    ours = { ...others, decodeUtf8 };
  }
  configureTextEncoding(ours as TextEncoding);
  try {
    return protobufFromBinary(schema, bytes);
  } finally {
    configureTextEncoding(others);
  }
}

export const encoder = (schema: DescMessage) => (init: MessageInitShape<DescMessage>) => {
  const bytes = toBinary(schema, create(schema, init));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
};

/**
 * Decodes a request. If it cannot, it returns the reason and does not throw it, because grpc-js would answer
 * INTERNAL to an error thrown here. So the handler gets the reason in place of the message.
 */
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

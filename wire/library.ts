// protobuf-es, with a text decoder that keeps a byte order mark. The library's own drops it, so two keys that differ only
// in the mark would become one.
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { configureTextEncoding, getTextEncoding } from "@bufbuild/protobuf/wire";

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const utf8Strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const decodeUtf8 = (bytes: Uint8Array, strict?: boolean) =>
  (strict ? utf8Strict : utf8).decode(bytes);

/**
 * Decodes a message. The library has one text decoder for the whole process, and it belongs to the host application. So
 * the host's decoder is put back at once, before any other code can run.
 */
export function decodeByLibrary<S extends DescMessage>(
  schema: S,
  bytes: Uint8Array,
): MessageShape<S> {
  const others = getTextEncoding();
  configureTextEncoding({ ...others, decodeUtf8 });
  try {
    return fromBinary(schema, bytes);
  } finally {
    configureTextEncoding(others);
  }
}

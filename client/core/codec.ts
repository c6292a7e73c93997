// Messages <-> bytes.
import {
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { configureTextEncoding, getTextEncoding } from "@bufbuild/protobuf/wire";

// A byte order mark is text like any other: the decoder's default would drop it, and two keys would be one.
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const utf8Strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
configureTextEncoding({
  ...getTextEncoding(),
  decodeUtf8: (bytes, strict) => (strict ? utf8Strict : utf8).decode(bytes),
});

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
    fromBinary(schema, bytes);

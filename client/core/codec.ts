// Encodes requests and decodes responses.
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { decode, encode } from "../../wire/codec.js";

export const pathOf = (method: DescMethod) => `/${method.parent.typeName}/${method.name}`;

export const encoder =
  <I extends DescMessage>(schema: I) =>
  (init: MessageInitShape<I>): Buffer =>
    encode(schema, init);

export const decoder =
  <O extends DescMessage>(schema: O) =>
  (bytes: Buffer): MessageShape<O> =>
    decode(schema, bytes);

/** The time as a Date; an invalid Date if the message has none. */
export const toDate = (time: Timestamp | undefined): Date =>
  time ? timestampDate(time) : new Date(Number.NaN);

// Messages to bytes and back, for the server and the client, at a fraction of the cost of protobuf-es. What encodes and
// decodes a type is made once, from its descriptor, and does what nearly all messages need. For the rest (malformed
// bytes, unknown fields, values of a wrong type), the library does the whole message, and says what is wrong with it.
import {
  create,
  type DescField,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { decodeByLibrary } from "./library.js";
import { Reader } from "./reader.js";
import { unusual, Writer } from "./writer.js";

type Fields = Record<string, unknown>;
type Oneof = { case: string | undefined; value?: unknown };

/** A value as it stands on the wire, without its tag. */
interface Value {
  wireType: number;
  /** What the field is without it, if it has no presence. */
  zero: unknown;
  isZero(value: unknown): boolean;
  write(writer: Writer, value: never): void;
  read(reader: Reader): unknown;
}

/** What encodes and decodes the messages of a type. */
interface Codec {
  write(writer: Writer, message: Fields): void;
  read(reader: Reader, end: number): Fields;
}

const writer = new Writer();

/** The fields and values of the messages that are being read: those of a message behind those of what it is in. */
const found: Field[] = [];
const values: unknown[] = [];

/** The bytes of a message. Fields that `init` lacks are unset. */
export function encode<S extends DescMessage>(schema: S, init: MessageInitShape<S>): Buffer {
  const codec = codecOf(schema);
  try {
    if (!codec) throw unusual;
    codec.write(writer, init as Fields);
    return writer.finish();
  } catch (error) {
    writer.reset();
    if (error !== unusual && codec) throw error;
    const bytes = toBinary(schema, create(schema, init));
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/** The message that the bytes hold. */
export function decode<S extends DescMessage>(schema: S, bytes: Buffer): MessageShape<S> {
  try {
    const codec = codecOf(schema);
    if (!codec) throw unusual;
    return codec.read(new Reader(bytes), bytes.length) as MessageShape<S>;
  } catch (error) {
    found.length = 0;
    values.length = 0;
    if (error !== unusual) throw error;
    return decodeByLibrary(schema, bytes);
  }
}

const codecs = new Map<DescMessage, Codec | undefined>();

/** undefined: the library does the messages of this type. */
function codecOf(schema: DescMessage): Codec | undefined {
  if (codecs.has(schema)) return codecs.get(schema);
  codecs.set(schema, undefined); // also while it is made: so a type that holds itself is left to the library
  const isTime = schema.typeName === "google.protobuf.Timestamp";
  const codec =
    isTime || !schema.typeName.startsWith("google.protobuf.") ? compile(schema) : undefined;
  codecs.set(schema, codec);
  return codec;
}

interface Field {
  number: number;
  /** The name of its property, and of its oneof if it is in one. */
  name: string;
  oneof: string | undefined;
  isList: boolean;
  isMessage: boolean;
  hasPresence: boolean;
  tag: number;
  /** Of a field that may be absent; 0 for others. */
  bit: number;
  value: Value;
}

function compile(schema: DescMessage): Codec | undefined {
  const fields: Field[] = [];
  let bit = 1;
  for (const field of schema.fields.toSorted((a, b) => a.number - b.number)) {
    const value = valueOfField(field);
    if (!value || (field.fieldKind === "list" && field.packed)) return undefined;
    const hasPresence = field.fieldKind === "message" || field.presence !== implicitPresence;
    fields.push({
      number: field.number,
      name: field.localName,
      oneof: field.oneof?.localName,
      isList: field.fieldKind === "list",
      isMessage: field.fieldKind === "message",
      hasPresence,
      tag: ((field.number << 3) | value.wireType) >>> 0,
      bit: hasPresence ? bit : 0,
      value,
    });
    if (hasPresence) bit *= 2;
  }
  if (bit > 2 ** 31) return undefined; // more than there are bits
  return { write: writing(fields), read: reading(schema, fields) };
}

const implicitPresence = 2; // google.protobuf.FeatureSet.FieldPresence.IMPLICIT

function writing(fields: readonly Field[]): Codec["write"] {
  return (writer, message) => {
    if (message.$unknown !== undefined) throw unusual;
    for (const { name, oneof, isList, hasPresence, tag, value: kind } of fields) {
      if (oneof !== undefined) {
        const group = message[oneof] as Oneof | undefined;
        if (group === undefined || group.case !== name) continue;
        writer.uint32(tag);
        kind.write(writer, group.value as never);
        continue;
      }
      const value = message[name];
      if (value === undefined) continue;
      if (isList) {
        if (!Array.isArray(value)) throw unusual;
        for (const element of value) {
          writer.uint32(tag);
          kind.write(writer, element as never);
        }
      } else if (hasPresence || !kind.isZero(value)) {
        writer.uint32(tag);
        kind.write(writer, value as never);
      }
    }
  };
}

function reading(schema: DescMessage, fields: readonly Field[]): Codec["read"] {
  const unset: Fields = { $typeName: schema.typeName };
  const lists: string[] = [];
  const oneofs: string[] = [];
  for (const member of schema.members) {
    const name = member.localName;
    if (member.kind === "oneof") oneofs.push(name);
    else if (member.fieldKind === "list") lists.push(name);
    else if (member.presence !== implicitPresence) continue;
    unset[name] = fields.find((field) => field.name === name && !field.oneof)?.value.zero;
  }
  // To add a property to an object costs ten times as much as to set one that it has. So a message is a copy of one that
  // has the same optional properties: there is a bit for each.
  const templates = new Map<number, Fields>();
  const templateOf = (present: number): Fields => {
    const known = templates.get(present);
    if (known) return known;
    const template = { ...unset };
    for (const { name, oneof, bit } of fields)
      if (present & bit && oneof === undefined) template[name] = undefined;
    templates.set(present, template);
    return template;
  };
  const byNumber: (Field | undefined)[] = [];
  for (const field of fields) byNumber[field.number] = field;
  return (reader, end) => {
    const start = found.length;
    let present = 0;
    while (reader.at < end) {
      const tag = reader.uint32();
      const field = byNumber[tag >>> 3];
      if (field === undefined || field.tag !== tag) throw unusual;
      // The parts of a message that comes in parts are merged: the library does that.
      if (field.isMessage && present & field.bit) throw unusual;
      present |= field.bit;
      const value = field.value.read(reader);
      found.push(field);
      values.push(value);
    }
    if (reader.at !== end) throw unusual;
    const message = { ...templateOf(present) };
    for (const name of lists) message[name] = [];
    for (const name of oneofs) message[name] = { case: undefined };
    for (let i = start; i < found.length; i++) {
      const { name, oneof, isList } = found[i] as Field;
      const value = values[i];
      if (isList) (message[name] as unknown[]).push(value);
      else if (oneof !== undefined) message[oneof] = { case: name, value };
      else message[name] = value;
    }
    found.length = start;
    values.length = start;
    return message;
  };
}

/** undefined: the library does such fields. */
function valueOfField(field: DescField): Value | undefined {
  if (field.fieldKind === "scalar" || (field.fieldKind === "list" && field.listKind === "scalar"))
    return field.scalar === ScalarType.INT64 && field.longAsString
      ? decimalValue
      : scalarValues[field.scalar];
  if (field.fieldKind === "enum" || (field.fieldKind === "list" && field.listKind === "enum"))
    return field.enum.open ? { ...int32Value, zero: field.enum.values[0]?.number } : undefined;
  if (field.fieldKind === "map" || field.delimitedEncoding) return undefined;
  return messageValue(field.message);
}

function messageValue(schema: DescMessage): Value | undefined {
  const codec = codecOf(schema);
  return (
    codec && {
      wireType: 2,
      zero: undefined,
      isZero: () => false,
      write(writer, value: unknown) {
        if (typeof value !== "object" || value === null) throw unusual;
        const place = writer.begin();
        codec.write(writer, value as Fields);
        writer.end(place);
      },
      read(reader) {
        return codec.read(reader, reader.end());
      },
    }
  );
}

const int32Value: Value = {
  wireType: 0,
  zero: 0,
  isZero: (value) => value === 0,
  write(writer, value: unknown) {
    if (typeof value !== "number" || (value | 0) !== value) throw unusual;
    writer.int32(value);
  },
  read: (reader) => reader.int32(),
};

const decimalValue: Value = {
  wireType: 0,
  zero: "0",
  isZero: (value) => value === "0",
  write(writer, value: unknown) {
    if (typeof value !== "string" || !/^(0|-?[1-9][0-9]{0,18})$/.test(value)) throw unusual;
    writer.int64(value);
  },
  read: (reader) => reader.decimal(),
};

const scalarValues: Partial<Record<ScalarType, Value>> = {
  [ScalarType.STRING]: {
    wireType: 2,
    zero: "",
    isZero: (value) => value === "",
    write(writer, value: unknown) {
      if (typeof value !== "string") throw unusual;
      writer.string(value);
    },
    read: (reader) => reader.string(),
  },
  [ScalarType.BOOL]: {
    wireType: 0,
    zero: false,
    isZero: (value) => value === false,
    write(writer, value: unknown) {
      if (typeof value !== "boolean") throw unusual;
      writer.uint32(value ? 1 : 0);
    },
    read: (reader) => reader.bool(),
  },
  [ScalarType.INT32]: int32Value,
  [ScalarType.INT64]: {
    wireType: 0,
    zero: 0n,
    isZero: (value) => value === 0n,
    write(writer, value: unknown) {
      if (typeof value !== "bigint") throw unusual;
      writer.int64(value);
    },
    read: (reader) => reader.bigint(),
  },
  [ScalarType.DOUBLE]: {
    wireType: 1,
    zero: 0,
    isZero: (value) => Object.is(value, 0),
    write(writer, value: unknown) {
      if (typeof value !== "number") throw unusual;
      writer.double(value);
    },
    read: (reader) => reader.double(),
  },
  [ScalarType.BYTES]: {
    wireType: 2,
    zero: new Uint8Array(0),
    isZero: (value) => value instanceof Uint8Array && value.length === 0,
    write(writer, value: unknown) {
      if (!(value instanceof Uint8Array)) throw unusual;
      writer.bytes(value);
    },
    read: (reader) => reader.data(),
  },
};

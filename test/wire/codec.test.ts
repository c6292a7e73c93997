// The codec does with every message what protobuf-es does with it, byte by byte.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  create,
  type DescField,
  type DescFile,
  type DescMessage,
  type MessageInitShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SetRequestSchema } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { decode, encode } from "../../wire/codec.js";
import { decodeByLibrary } from "../../wire/library.js";
import { root } from "../support/process.js";

type Init = MessageInitShape<DescMessage>;

const files: DescFile[] = [];
for (const entry of await readdir(join(root, "gen"), { recursive: true, withFileTypes: true }))
  if (entry.name.endsWith("_pb.ts"))
    for (const value of Object.values(await import(join(entry.parentPath, entry.name))))
      if ((value as DescFile | undefined)?.kind === "file") files.push(value as DescFile);

const messagesIn = (parent: DescFile | DescMessage): DescMessage[] =>
  ("messages" in parent ? parent.messages : parent.nestedMessages).flatMap((message) => [
    message,
    ...messagesIn(message),
  ]);
const schemas = files.flatMap(messagesIn);

const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string(),
  fc.constantFrom(
    "",
    "\ufeffkey",
    "\ufffd",
    "\u0000",
    "é".repeat(70),
    "\u{1f600}",
    "x".repeat(200),
  ),
  fc.integer({ min: 0, max: 20_000 }).map((length) => "y".repeat(length)),
);
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, 1n, -1n, 127n, 128n, 2n ** 31n, 2n ** 49n, 2n ** 53n - 1n, 2n ** 53n + 1n),
);

function scalarOf(type: ScalarType, longAsString: boolean): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING:
      return text;
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.INT32:
      return fc.oneof(fc.integer(), fc.constantFrom(0, -1, 127, 128, 2 ** 31 - 1, -(2 ** 31)));
    case ScalarType.UINT32:
      return fc.nat();
    case ScalarType.INT64:
      return longAsString ? int64.map(String) : int64;
    case ScalarType.DOUBLE:
      return fc.double({ noNaN: true });
    case ScalarType.BYTES:
      return fc.uint8Array();
    default:
      throw new Error(`no values of the type ${ScalarType[type]}`);
  }
}

function valueOfField(field: DescField, depth: number): fc.Arbitrary<unknown> {
  const one = (): fc.Arbitrary<unknown> => {
    if (field.message) return messageOf(field.message, depth - 1);
    if (field.enum)
      return fc.oneof(fc.constantFrom(...field.enum.values.map((v) => v.number)), fc.nat());
    return scalarOf(field.scalar as ScalarType, "longAsString" in field && field.longAsString);
  };
  if (field.fieldKind === "list") return fc.array(one(), { maxLength: 4 });
  if (field.fieldKind === "map") return fc.dictionary(fc.string(), one(), { maxKeys: 3 });
  return one();
}

/** Any message of the type, as an init of which parts may be missing. */
function messageOf(schema: DescMessage, depth = 4): fc.Arbitrary<Init> {
  const parts: Record<string, fc.Arbitrary<unknown>> = {};
  for (const member of schema.members) {
    if (member.kind === "oneof")
      parts[member.localName] = fc.oneof(
        ...member.fields
          .filter((field) => !field.message || depth > 0)
          .map((field) =>
            valueOfField(field, depth).map((value) => ({ case: field.localName, value })),
          ),
        fc.constant({ case: undefined }),
      );
    else if (!member.message || depth > 0) parts[member.localName] = valueOfField(member, depth);
  }
  return fc.record(parts, { requiredKeys: [] }) as fc.Arbitrary<Init>;
}

/** What a decoder gives: the message, or the text of its error. */
function outcome(
  decoder: (schema: DescMessage, bytes: Buffer) => unknown,
  schema: DescMessage,
  bytes = Buffer.alloc(0),
) {
  try {
    return { message: decoder(schema, bytes) };
  } catch (error) {
    return { error: `${error}` };
  }
}

const bytesOf = (schema: DescMessage, init: Init) =>
  Buffer.from(toBinary(schema, create(schema, init)));

describe("every message", () => {
  it("is found", () => {
    expect(schemas.length).toBeGreaterThan(150);
  });

  it("has the bytes that protobuf-es gives, and is read from them as protobuf-es reads it", () => {
    for (const schema of schemas)
      fc.assert(
        fc.property(messageOf(schema), (init) => {
          const bytes = bytesOf(schema, init);
          expect(encode(schema, init).equals(bytes), schema.typeName).toBe(true);
          expect(decode(schema, bytes)).toStrictEqual(decodeByLibrary(schema, bytes));
          expect(encode(schema, decode(schema, bytes) as Init).equals(bytes)).toBe(true);
        }),
        { numRuns: 25 },
      );
  });

  it("is read, or refused, as protobuf-es does it, also if its bytes are cut, changed or put together", () => {
    for (const schema of schemas)
      fc.assert(
        fc.property(
          messageOf(schema, 2),
          messageOf(schema, 2),
          fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
          fc.nat(),
          (one, other, changes, cut) => {
            const whole = Buffer.concat([bytesOf(schema, one), bytesOf(schema, other)]);
            for (const [at, byte] of changes) if (whole.length > 0) whole[at % whole.length] = byte;
            for (const bytes of [whole, whole.subarray(0, cut % (whole.length + 1))])
              expect(outcome(decode, schema, bytes)).toStrictEqual(
                outcome(decodeByLibrary, schema, bytes),
              );
          },
        ),
        { numRuns: 25 },
      );
  });
});

describe("a value of a wrong type", () => {
  const wrong = [
    { key: 7 },
    { key: {} },
    { ttlSeconds: "1" },
    { ifRevision: "no number" },
    { ifRevision: "007" },
    { ifRevision: 5n },
    { ifRevision: "9223372036854775808" },
    { ifAbsent: 1 },
    { claim: "name" },
    { scope: 3 },
  ] as Init[];

  it("is encoded, or refused, as protobuf-es does it", () => {
    for (const init of wrong)
      expect(
        outcome(() => encode(SetRequestSchema, init as never), SetRequestSchema),
      ).toStrictEqual(outcome(() => bytesOf(SetRequestSchema, init), SetRequestSchema));
  });

  it("leaves nothing behind for the next message", () => {
    const init = { namespace: "b", key: "c" };
    for (const before of wrong) {
      outcome(
        () => encode(SetRequestSchema, { namespace: "a", ...(before as object) }),
        SetRequestSchema,
      );
      expect(encode(SetRequestSchema, init)).toEqual(bytesOf(SetRequestSchema, init));
    }
  });
});

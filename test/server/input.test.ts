// Sends bad input over the wire, as any client could. Each error names its reason, its field, the limit and
// what was got, and nothing is stored. Each limit is tried at the limit and one past it.
import type { DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { MutableStore, type SetRequestSchema } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Users } from "../../gen/cortex/users/v1/users_pb.js";
import { type Failure, Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const { set, update, get, batchSet } = MutableStore.method;
let raw: Raw;
beforeAll(() => {
  raw = new Raw(s.address);
});
afterAll(() => raw.close());

type Set = MessageInitShape<typeof SetRequestSchema>;
const sound: Set = { namespace: "ns", key: "k", valueJson: "1" };
const refused = (reason: string, details: object = {}) => ({
  status: status.INVALID_ARGUMENT,
  domain: "cortex.store",
  reason,
  details: expect.objectContaining(details),
  message: expect.stringMatching(/^[\x20-\x7eé±]+$/),
});
const mib = 1024 * 1024;
const deep = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

describe("what is past a limit", () => {
  it.each<[string, Set, ReturnType<typeof refused>]>([
    [
      "an empty namespace",
      { namespace: "" },
      refused("INVALID_NAMESPACE", { field: "namespace", problem: "is empty" }),
    ],
    [
      "a blank namespace",
      { namespace: " \u3000 " },
      refused("INVALID_NAMESPACE", { problem: "is blank" }),
    ],
    [
      "a long namespace",
      { namespace: "n".repeat(257) },
      refused("INVALID_NAMESPACE", { limit: "256 bytes of UTF-8", got: "257" }),
    ],
    [
      "a namespace long in bytes",
      { namespace: "é".repeat(129) },
      refused("INVALID_NAMESPACE", { got: "258" }),
    ],
    [
      "a namespace with a newline",
      { namespace: "a\nb" },
      refused("INVALID_NAMESPACE", { problem: "holds a control character" }),
    ],
    ["an empty key", { key: "" }, refused("INVALID_KEY", { field: "key", problem: "is empty" })],
    ["a blank key", { key: "\t" }, refused("INVALID_KEY")],
    [
      "a long key",
      { key: "k".repeat(1025) },
      refused("INVALID_KEY", { limit: "1024 bytes of UTF-8", got: "1025" }),
    ],
    [
      "a key with NUL",
      { key: "a\0b" },
      refused("INVALID_KEY", { problem: "holds a control character" }),
    ],
    ["a key with DEL", { key: "a\x7fb" }, refused("INVALID_KEY")],
    ["no value", { valueJson: "" }, refused("INVALID_VALUE", { field: "value_json" })],
    [
      "a value that is not JSON",
      { valueJson: "{a: 1}" },
      refused("INVALID_VALUE", { field: "value_json", problem: "is not JSON (at character 1)" }),
    ],
    ["two JSON values", { valueJson: "1 2" }, refused("INVALID_VALUE")],
    ["NaN", { valueJson: "NaN" }, refused("INVALID_VALUE")],
    [
      "a value over 1 MiB",
      { valueJson: `"${"x".repeat(mib - 1)}"` },
      refused("VALUE_TOO_LARGE", { field: "value_json", limit: `${mib}`, got: `${mib + 1}` }),
    ],
    [
      "a value over 1 MiB in bytes",
      { valueJson: `"${"é".repeat(mib / 2)}"` },
      refused("VALUE_TOO_LARGE", { got: `${mib + 2}` }),
    ],
    [
      "a value nested 10 000 deep",
      { valueJson: deep(10_000) },
      refused("VALUE_TOO_DEEP", { field: "value_json", limit: "1000", got: "10000" }),
    ],
    [
      "a value nested 1001 deep",
      { valueJson: deep(1001) },
      refused("VALUE_TOO_DEEP", { got: "1001" }),
    ],
    ["an empty user", { userId: "" }, refused("INVALID_USER_ID", { field: "user_id" })],
    ["a long user", { userId: "u".repeat(257) }, refused("INVALID_USER_ID", { got: "257" })],
    [
      "user_id and clear_user_id",
      { userId: "u", clearUserId: true },
      refused("INVALID_OPTIONS", { field: "clear_user_id" }),
    ],
    [
      "metadata that is not JSON",
      { metadataJson: "{" },
      refused("INVALID_METADATA", { field: "metadata_json" }),
    ],
    ["metadata that is no object", { metadataJson: "[]" }, refused("INVALID_METADATA")],
    [
      "metadata over 64 KiB",
      { metadataJson: `{"m":"${"x".repeat(65536 - 7)}"}` },
      refused("INVALID_METADATA", { limit: "65536 bytes of UTF-8", got: "65537" }),
    ],
    [
      "metadata nested too deep",
      { metadataJson: `{"m":${deep(1000)}}` },
      refused("INVALID_METADATA", { got: "1001" }),
    ],
    [
      "metadata and clear_metadata",
      { metadataJson: "{}", clearMetadata: true },
      refused("INVALID_OPTIONS"),
    ],
    ["a ttl of 0", { ttlSeconds: 0 }, refused("INVALID_TTL", { field: "ttl_seconds", got: "0" })],
    ["a negative ttl", { ttlSeconds: -1 }, refused("INVALID_TTL")],
    ["a ttl past 100 years", { ttlSeconds: 3_155_760_001 }, refused("INVALID_TTL")],
    ["a ttl of NaN", { ttlSeconds: Number.NaN }, refused("INVALID_TTL", { got: "NaN" })],
    [
      "revision 0",
      { ifRevision: "0" },
      refused("INVALID_REVISION", { field: "if_revision", got: "0" }),
    ],
    ["a negative revision", { ifRevision: "-5" }, refused("INVALID_REVISION")],
    ["if_revision and if_absent", { ifRevision: "5", ifAbsent: true }, refused("INVALID_OPTIONS")],
  ])("is refused: %s", async (_, wrong, failure) => {
    expect(await raw.call(set, { ...sound, ...wrong } as Set)).toEqual(failure);
    expect(await s.sql`select from mutable`).toHaveLength(0);
  });
});

describe("what is at a limit", () => {
  it.each<[string, Set]>([
    ["a namespace of 256 bytes", { namespace: "n".repeat(256) }],
    ["a key of 1024 bytes", { key: "é".repeat(512) }],
    [
      "names of any script, of URLs and paths",
      { namespace: "https://x/é?a=b&c", key: "../日本語/%_'\";--" },
    ],
    ["a value of 1 MiB", { valueJson: `"${"x".repeat(mib - 2)}"` }],
    ["a value nested 1000 deep", { valueJson: deep(1000) }],
    ["metadata of 64 KiB", { metadataJson: `{"m":"${"x".repeat(65536 - 8)}"}` }],
    ["metadata nested 1000 deep", { metadataJson: `{"m":${deep(999)}}` }],
    ["a ttl of 100 years", { ttlSeconds: 3_155_760_000 }],
    ["brackets in strings, which do not nest", { valueJson: `"${'[\\"{'.repeat(2000)}"` }],
  ])("is stored to the letter: %s", async (_, wide) => {
    const request = { ...sound, ...wide } as Set & {
      namespace: string;
      key: string;
      valueJson: string;
    };
    const { namespace, key } = request;
    expect(await raw.call(set, request)).not.toHaveProperty("reason");
    expect(await raw.call(get, { namespace, key })).toMatchObject({ valueJson: request.valueJson });
    const listed = await s.cortex.mutable.list(request.namespace);
    expect(listed.records.map(({ key }) => key)).toEqual([request.key]);
    await s.sql`delete from mutable`;
  });
});

describe("an operation", () => {
  const patch = async (
    operation: NonNullable<
      Parameters<typeof raw.call<typeof update.input, typeof update.output>>[1]["operation"]
    >,
  ) => raw.call(update, { namespace: "ops", key: "k", operation } as never);

  it("that is missing is refused", async () => {
    expect(await raw.call(update, { namespace: "ops", key: "k" })).toEqual(
      refused("INVALID_OPERATION", { field: "operation" }),
    );
  });

  it("names its field when it is past a limit", async () => {
    await s.cortex.mutable.set("ops", "k", []);
    const { revision } = (await s.cortex.mutable.getRecord("ops", "k")) ?? {};
    expect(await patch({ case: "append", value: { valueJson: "nope" } })).toEqual(
      refused("INVALID_VALUE", { field: "append.value_json" }),
    );
    expect(await patch({ case: "append", value: { valueJson: deep(1000) } })).toEqual(
      refused("VALUE_TOO_DEEP", { field: "append.value_json", limit: "999" }),
    );
    expect(await patch({ case: "merge", value: { patchJson: "{" } })).toEqual(
      refused("INVALID_VALUE", { field: "merge.patch_json" }),
    );
    expect(await patch({ case: "merge", value: { patchJson: deep(101) } })).toEqual(
      refused("VALUE_TOO_DEEP", { field: "merge.patch_json" }),
    );
    expect(await patch({ case: "replace", value: { valueJson: "" } })).toEqual(
      refused("INVALID_VALUE", { field: "replace.value_json" }),
    );
    expect(await patch({ case: "increment", value: { amount: "ten" } })).toEqual(
      refused("INVALID_AMOUNT", { field: "increment.amount", got: "ten" }),
    );
    expect((await s.cortex.mutable.getRecord("ops", "k"))?.revision).toBe(revision);
  });

  it("whose result would be too large changes nothing; at the limit it is done", async () => {
    await s.cortex.mutable.set("ops", "k", ["x".repeat(mib - 10)]); // 6 bytes below the limit
    const before = await s.cortex.mutable.getRecord("ops", "k");
    expect(await patch({ case: "append", value: { valueJson: "123456" } })).toEqual(
      refused("VALUE_TOO_LARGE", {
        field: "result",
        limit: `${mib}`,
        got: `${mib + 1}`,
      }),
    );
    expect(await s.cortex.mutable.getRecord("ops", "k")).toEqual(before);
    expect(await patch({ case: "append", value: { valueJson: "12345" } })).not.toHaveProperty(
      "reason",
    );
    await s.cortex.mutable.set("ops", "k", { a: "x".repeat(mib - 100) });
    expect(
      await patch({ case: "merge", value: { patchJson: JSON.stringify({ b: "y".repeat(200) }) } }),
    ).toEqual(refused("VALUE_TOO_LARGE", { field: "result", limit: `${mib}` }));
  });

  it("merges a patch nested 100 deep", async () => {
    const nested = `${'{"a":'.repeat(99)}{}${"}".repeat(99)}`;
    await s.cortex.mutable.set("ops", "k", {});
    expect(await patch({ case: "merge", value: { patchJson: nested } })).not.toHaveProperty(
      "reason",
    );
    expect(await patch({ case: "merge", value: { patchJson: nested } })).not.toHaveProperty(
      "reason",
    );
  });
});

describe("text that is easily changed by accident", () => {
  it("with a byte order mark is a name of its own, and no JSON", async () => {
    await s.cortex.mutable.set("bom", "k", "plain");
    await s.cortex.mutable.set("bom", "\ufeffk", "marked");
    await s.cortex.mutable.set("\ufeffbom", "k", "elsewhere");
    expect(await s.cortex.mutable.getMany("bom", ["k", "\ufeffk"])).toEqual(["plain", "marked"]);
    const { records } = await s.cortex.mutable.list("bom");
    expect(records.map(({ key }) => key)).toEqual(["k", "\ufeffk"]);
    expect(await raw.call(set, { ...sound, valueJson: "\ufeff1" })).toEqual(
      refused("INVALID_VALUE"),
    );
    for (const namespace of ["bom", "\ufeffbom"]) await s.cortex.mutable.purgeNamespace(namespace);
  });

  it("cut within a surrogate pair does not break the answer that quotes it", async () => {
    await s.cortex.mutable.set("ops", "k", 1);
    const amount = `a${"😀".repeat(60)}`;
    await expect(s.cortex.mutable.increment("ops", "k", amount)).toFailWith("INVALID_AMOUNT");
    const key = `k${"😀".repeat(200)}`;
    await expect(s.cortex.mutable.increment("ops", key)).toFailWith("KEY_NOT_FOUND", { key });
  });

  it("with a control character, or longer than any name, is refused as a filter and in a page token", async () => {
    for (const text of ["a\0", "a\n", "k".repeat(1025), "k".repeat(1_000_000)]) {
      await expect(s.cortex.mutable.list("ns", { keyPrefix: text })).toFailWith("INVALID_FILTER");
      await expect(s.cortex.mutable.count("ns", { keyPrefix: text })).toFailWith("INVALID_FILTER");
      await expect(s.cortex.mutable.purgeMany("ns", { keyPrefix: text })).toFailWith(
        "INVALID_FILTER",
      );
      await expect(s.cortex.mutable.listNamespaces({ prefix: text })).toFailWith("INVALID_FILTER");
      await expect(s.cortex.users.list({ idPrefix: text })).toFailWith("INVALID_FILTER");
    }
    await s.cortex.mutable.setMany("tokens", { a: 1, b: 2 });
    const { nextPageToken = "" } = await s.cortex.mutable.list("tokens", { limit: 1 });
    const [hash] = JSON.parse(Buffer.from(nextPageToken, "base64url").toString());
    const forged = Buffer.from(JSON.stringify([hash, "0", "a\0b"])).toString("base64url");
    for (const pageToken of [forged, `${nextPageToken}!!`])
      await expect(s.cortex.mutable.list("tokens", { pageToken })).toFailWith("INVALID_PAGE_TOKEN");
    await s.cortex.mutable.purgeNamespace("tokens");
  });

  it("a time to the nanosecond filters entries exactly", async () => {
    const { count } = MutableStore.method;
    const { updatedAt } = await s.cortex.mutable.set("nanos", "k", 1);
    const time = (nanos: bigint) => {
      const all = BigInt(updatedAt.getTime()) * 1_000_000n + nanos;
      return { seconds: all / 1_000_000_000n, nanos: Number(all % 1_000_000_000n) };
    };
    const counted = async (filter: object) =>
      ((await raw.call(count, { namespace: "nanos", filter })) as { count: bigint }).count;
    expect(await counted({ updatedBefore: time(400_000n) })).toBe(1n);
    expect(await counted({ updatedBefore: time(0n) })).toBe(0n);
    expect(await counted({ updatedAfter: time(-400_000n) })).toBe(1n);
    expect(await counted({ updatedAfter: time(0n) })).toBe(0n);
    expect(await counted({ lastAccessedBefore: time(1000n) })).toBe(1n);
    expect(await counted({ updatedBefore: { seconds: 253402300799n, nanos: 999_999_999 } })).toBe(
      1n,
    );
    for (const updatedAfter of [
      { seconds: 253402300800n, nanos: 0 },
      { seconds: -62135596801n, nanos: 0 },
      { seconds: 0n, nanos: 1_000_000_000 },
      { seconds: 0n, nanos: -1 },
    ])
      expect(await raw.call(count, { namespace: "nanos", filter: { updatedAfter } })).toEqual(
        refused("INVALID_FILTER"),
      );
    await s.cortex.mutable.purgeNamespace("nanos");
  });
});

describe("a message", () => {
  it("above 4 MiB is refused with the limit, and so is one far above it", async () => {
    const four = 4 * mib;
    const entries = Array.from({ length: 5 }, (_, i) => ({
      key: `k${i}`,
      valueJson: `"${"x".repeat(mib - 50)}"`,
    }));
    const five = await raw.call(batchSet, { namespace: "big", entries });
    expect(five).toMatchObject({
      status: status.RESOURCE_EXHAUSTED,
      reason: "MESSAGE_TOO_LARGE",
      details: { limit: `${four}` },
    });
    expect(await raw.bytes(set, Buffer.alloc(20 * mib))).toMatchObject({
      status: status.RESOURCE_EXHAUSTED,
    });
    expect(await s.cortex.mutable.count("big")).toBe(0);
  });

  it("of exactly 4 MiB is taken", async () => {
    // A field that the server does not know fills the message up.
    const filled = (bytes: number) => {
      const known = toBinary(set.input, create(set.input, sound));
      const header = Buffer.from([0xc2, 0x3e, 0, 0, 0, 0]); // field 1000, a text
      const length = bytes - known.length - header.length;
      for (let i = 0; i < 4; i++) header[2 + i] = ((length >> (7 * i)) & 0x7f) | (i < 3 ? 0x80 : 0);
      return Buffer.concat([known, header, Buffer.alloc(length, "x")]);
    };
    expect(filled(4 * mib).length).toBe(4 * mib);
    expect(await raw.bytes(set, filled(4 * mib))).not.toHaveProperty("reason");
    expect(await raw.bytes(set, filled(4 * mib + 1))).toMatchObject({
      reason: "MESSAGE_TOO_LARGE",
      details: { got: `${4 * mib + 1}` },
    });
  });

  it("that is not UTF-8, or cut off, is refused", async () => {
    const whole = toBinary(set.input, create(set.input, sound));
    expect(await raw.bytes(set, Buffer.from(whole.slice(0, -2)))).toEqual(
      refused("MALFORMED_REQUEST"),
    );
    expect(await raw.bytes(set, Buffer.from([0x0a, 0x02, 0xc3, 0x28]))).toEqual(
      refused("MALFORMED_REQUEST"),
    );
  });

  it("of random bytes never crashes a method, and is never INTERNAL", async () => {
    const methods: DescMethod[] = [
      ...MutableStore.methods,
      ...ImmutableStore.methods,
      ...Users.methods,
    ];
    const sample = Buffer.from(
      toBinary(set.input, create(set.input, { ...sound, userId: "u", metadataJson: "{}" })),
    );
    const mutated = fc
      .array(fc.tuple(fc.nat(sample.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((edits) => {
        const bytes = Buffer.from(sample);
        for (const [at, to] of edits) bytes[at] = to;
        return bytes;
      });
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }).map((array) => Buffer.from(array)),
      mutated,
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...methods), bytes, async (method, request) => {
        const reply = await raw.bytes(method, request);
        if (Buffer.isBuffer(reply)) return;
        expect([status.INTERNAL, status.UNKNOWN, status.UNAVAILABLE]).not.toContain(
          (reply as Failure).status,
        );
        expect(reply.reason).toBeDefined();
      }),
      { numRuns: 1500 },
    );
    expect(await s.cortex.mutable.exists("still", "there")).toBe(false);
    await s.sql`delete from mutable`; // a random frame may have been valid and stored an entry
  });

  it("to an unknown method is UNIMPLEMENTED", async () => {
    const method = {
      parent: MutableStore,
      name: "Nope",
      methodKind: "unary",
    } as unknown as DescMethod;
    expect(await raw.bytes(method, Buffer.alloc(0))).toMatchObject({
      status: status.UNIMPLEMENTED,
    });
  });
});

describe("the client refuses what JavaScript lets through", () => {
  const mutable = () => s.cortex.mutable;
  const throwing = {
    toJSON: () => {
      throw new Error("no");
    },
  };
  const endless = (): object => ({ toJSON: endless });
  it.each<[string, () => Promise<unknown>, string]>([
    [
      "a user that is an object",
      () => mutable().set("ns", "k", 1, { userId: { id: "ann" } as never }),
      "INVALID_USER_ID",
    ],
    [
      "a user that is a list",
      () => mutable().setMany("ns", [{ key: "k", value: 1, userId: ["ann"] as never }]),
      "INVALID_USER_ID",
    ],
    [
      "a flag that is text",
      () => mutable().increment("ns", "k", 1, { createIfMissing: "false" as never }),
      "INVALID_OPTIONS",
    ],
    [
      "a total that is text",
      () => mutable().list("ns", { total: "yes" as never }),
      "INVALID_OPTIONS",
    ],
    [
      "a timeout that is text",
      () => mutable().get("ns", "k", { timeoutMs: "500" as never }),
      "INVALID_CONFIG",
    ],
    [
      "a timeout that is a bigint",
      () => mutable().get("ns", "k", { timeoutMs: 10n as never }),
      "INVALID_CONFIG",
    ],
    [
      "a signal that is no AbortSignal",
      () => mutable().get("ns", "k", { signal: {} as never }),
      "INVALID_CONFIG",
    ],
    ["options that are null", () => mutable().get("ns", "k", null as never), "INVALID_OPTIONS"],
    [
      "options of another call",
      () => mutable().setMany("ns", { k: 1 }, { ttlSeconds: 60 } as never),
      "INVALID_OPTIONS",
    ],
    ["keys that are no list", () => mutable().getMany("ns", "abc" as never), "INVALID_BATCH"],
    ["entries that are null", () => mutable().setMany("ns", null as never), "INVALID_BATCH"],
    ["filters that are null", () => mutable().list("ns", null as never), "INVALID_FILTER"],
    ["a toJSON that throws", () => mutable().set("ns", "k", throwing), "INVALID_VALUE"],
    ["a toJSON without end", () => mutable().set("ns", "k", endless()), "VALUE_TOO_DEEP"],
  ])("%s", async (_, call, code) => {
    await expect(call()).toFailWith(code as never);
    expect(await s.cortex.mutable.exists("ns", "k")).toBe(false);
  });

  it("but takes an option that is undefined", async () => {
    const filters = { keyPrefix: "k", limit: undefined } as object;
    expect(await s.cortex.mutable.count("ns", filters)).toBe(0);
  });
});

describe("the client refuses what JSON cannot say, with the path to it", () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = { cycle };
  const holes = Object.assign(new Array(3), { 0: 1, 2: 3 });
  it.each([
    ["undefined", undefined, "value"],
    ["undefined in an object", { a: [{ b: undefined }] }, "value.a[0].b"],
    ["a function", { f: () => 1 }, "value.f"],
    ["a symbol", [Symbol("s")], "value[0]"],
    ["NaN", { "odd key": Number.NaN }, 'value["odd key"]'],
    ["Infinity", [[Number.POSITIVE_INFINITY]], "value[0][0]"],
    ["a cycle", cycle, "value.self.cycle"],
    ["a hole in an array", holes, "value[1]"],
    ["an invalid Date", { at: new Date(Number.NaN) }, "value.at"],
    ["a Map", { m: new Map() }, "value.m"],
    ["a promise that was not awaited", Promise.resolve(1), "value"],
  ])("%s", async (_, value, path) => {
    await expect(s.cortex.mutable.set("ns", "k", value as object)).toFailWith("INVALID_VALUE", {
      path,
    });
    expect(await s.sql`select from mutable where namespace = 'ns'`).toHaveLength(0);
  });

  it("nesting 10 000 deep, without overflowing its stack", async () => {
    let value: unknown = 1;
    for (let i = 0; i < 10_000; i++) value = [value];
    await expect(s.cortex.mutable.set("ns", "k", value as object)).toFailWith("VALUE_TOO_DEEP", {
      limit: "1000",
    });
  });

  it("names that UTF-8 cannot carry, or that are no text", async () => {
    await expect(s.cortex.mutable.set("ns", "\ud800", 1)).toFailWith("INVALID_KEY");
    await expect(s.cortex.mutable.get("a\udfffb", "k")).toFailWith("INVALID_NAMESPACE");
    await expect(s.cortex.mutable.get(undefined as unknown as string, "k")).toFailWith(
      "INVALID_NAMESPACE",
    );
    await expect(s.cortex.mutable.get("ns", 5 as unknown as string)).toFailWith("INVALID_KEY");
  });

  it("but takes what JSON.stringify takes: the same object twice, toJSON, boxed primitives", async () => {
    const shared = { x: 1 };
    const value = {
      a: shared,
      b: shared,
      when: new Date(0),
      own: { toJSON: () => "j" },
      boxed: Object(5),
    };
    expect((await s.cortex.mutable.set<unknown>("json", "k", value)).value).toEqual(
      JSON.parse(JSON.stringify(value)),
    );
  });
});

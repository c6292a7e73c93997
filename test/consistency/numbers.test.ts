// Numbers come back and are written back as they were written, through every method of the client.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ExactNumber } from "../../client/index.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const runs = Number(process.env.NUMBER_RUNS ?? 30);

/** Stores JSON text as another language would; reads it without parsing. */
const put = async (key: string, valueJson: string) => {
  const raw = new Raw(s.address);
  const reply = await raw.call(MutableStore.method.set, { namespace: "n", key, valueJson }, {});
  raw.close();
  expect(reply).not.toHaveProperty("reason");
};
const stored = async (key: string): Promise<string | undefined> => {
  const raw = new Raw(s.address);
  const reply = await raw.call(MutableStore.method.getRecord, { namespace: "n", key }, {});
  raw.close();
  return (reply as { record?: { valueJson: string } }).record?.valueJson;
};

/** Texts of numbers: with too many digits, with another text than JSON.stringify gives, and plain ones. */
const digits = (min: number, max: number) =>
  fc.stringMatching(new RegExp(`^[1-9][0-9]{${min - 1},${max - 1}}$`));
const numberText = fc.oneof(
  digits(1, 15),
  digits(16, 40),
  digits(16, 30).map((text) => `-${text}`),
  fc.tuple(digits(1, 6), digits(1, 30)).map(([a, b]) => `${a}.${b}`),
  fc.tuple(digits(1, 6), fc.constantFrom("0", "00", "50")).map(([a, b]) => `${a}.${b}`),
  fc.tuple(digits(1, 20), fc.integer({ min: -400, max: 400 })).map(([a, e]) => `${a}e${e}`),
  fc.constantFrom("0", "-0", "0.0", "-0.00", "1E2", "1e+2", "1e400", "-1e400", "1e-400", "0.1"),
);
/** In the order in which JavaScript has the members of an object: integers first, ascending. */
const inOrder = (all: [string, string][]): [string, string][] => {
  const rank = ([name]: [string, string]) => (/^\d+$/.test(name) ? Number(name) : 10);
  return all.toSorted((a, b) => rank(a) - rank(b));
};

const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    numberText,
    fc.string().map((text) => JSON.stringify(text)),
    fc.constantFrom("true", "null", '"1.50"', '"9007199254740993"'),
    fc.array(tie("value"), { maxLength: 4 }).map((all) => `[${all.join(",")}]`),
    fc
      .uniqueArray(
        fc.tuple(fc.constantFrom("a", "b", "c d", "__proto__", "0", "7"), tie("value")),
        {
          maxLength: 4,
          selector: ([name]) => name,
        },
      )
      .map(inOrder)
      .map((all) => `{${all.map(([name, one]) => `${JSON.stringify(name)}:${one}`).join(",")}}`),
  ),
})).value;

describe("a number that nobody touched is written back with its text", () => {
  it.each([false, true])(
    "from any value, by every method (exactNumbers: %s)",
    async (exactNumbers) => {
      const { mutable } = s.client({ exactNumbers });
      const ways: [string, (key: string) => Promise<unknown>][] = [
        ["update", (key) => mutable.update("n", key, (value) => value)],
        ["update of a copy", (key) => mutable.update("n", key, (value) => copyOf(value))],
        ["get and set", async (key) => mutable.set("n", key, await mutable.get("n", key))],
        [
          "get and set of a copy",
          async (key) => mutable.set("n", key, copyOf(await mutable.get("n", key))),
        ],
        [
          "getMany and setMany",
          async (key) =>
            mutable.setMany("n", { [key]: copyOf((await mutable.getMany("n", [key]))[0]) }),
        ],
        [
          "a transaction's update",
          (key) => mutable.transaction((tx) => tx.update("n", key, copyOf)),
        ],
        [
          "a transaction's get and set",
          (key) => mutable.transaction((tx) => tx.set("n", key, copyOf(tx.get("n", key)))),
        ],
        [
          "a list of operations",
          async (key) =>
            mutable.transaction([
              { op: "update", namespace: "n", key, value: copyOf(await mutable.get("n", key)) },
            ]),
        ],
        [
          "list and set",
          async (key) => {
            const { records } = await mutable.list("n", { keyPrefix: key });
            await mutable.set("n", key, copyOf(records[0]?.value));
          },
        ],
      ];
      await fc.assert(
        fc.asyncProperty(jsonText, fc.constantFrom(...ways), async (json, [, write]) => {
          await put("k", json);
          await write("k");
          expect(await stored("k")).toBe(json);
        }),
        { numRuns: runs },
      );
    },
  );

  it("also beside a change, in nested objects, and in appends and merges", async () => {
    const { mutable } = s.cortex;
    const json =
      '{"id":653247040368672769,"n":1,"price":19.90,"deep":{"x":0.1234567890123456789,"y":[1.0,2]},"far":1e400}';
    await put("k", json);
    await mutable.update("n", "k", (d) => ({ ...d, n: 2 }));
    expect(await stored("k")).toBe(json.replace('"n":1', '"n":2'));
    await mutable.update("n", "k", (d) => ({
      ...d,
      deep: { ...d.deep, y: [...d.deep.y, 3] },
      moved: d.deep,
    }));
    expect(await stored("k")).toBe(
      '{"id":653247040368672769,"n":2,"price":19.90,"deep":{"x":0.1234567890123456789,"y":[1.0,2,3]},"far":1e400,"moved":{"x":0.1234567890123456789,"y":[1.0,2]}}',
    );
    await put("m", "[1.50]");
    await mutable.transaction((tx) => {
      tx.append("n", "m", 653247040368672769n);
      tx.set("n", "copy", tx.get("n", "m"));
    });
    expect([await stored("m"), await stored("copy")]).toEqual([
      "[1.50,653247040368672769]",
      "[1.50,653247040368672769]",
    ]);
    await put("o", '{"a":{"b":2.50},"c":9007199254740993}');
    await mutable.transaction((tx) => {
      tx.merge("n", "o", { a: { d: 1n } });
      tx.set("n", "copy", tx.get("n", "o"));
    });
    expect(await stored("copy")).toBe('{"a":{"b":2.50,"d":1},"c":9007199254740993}');
  });

  it("in records, metadata and profiles too", async () => {
    const { mutable, immutable, users } = s.cortex;
    const big = 653247040368672769n;
    const { data, metadata } = await immutable.store({
      type: "t",
      id: "i",
      data: { big, p: new ExactNumber("1.50") },
      metadata: { big },
    });
    expect({ data, metadata }).toEqual({ data: { big, p: 1.5 }, metadata: { big } });
    const current = await immutable.get("t", "i");
    await immutable.store({
      type: "t",
      id: "i",
      data: { ...current?.data, n: 1 },
      metadata: current?.metadata,
    });
    expect(
      await s.sql`select data::text, metadata::text from immutable_version where version = 2`,
    ).toEqual([
      { data: '{"big":653247040368672769,"p":1.50,"n":1}', metadata: '{"big":653247040368672769}' },
    ]);
    await mutable.set("n", "k", 1, { metadata: { big } });
    expect((await mutable.getRecord("n", "k"))?.metadata).toEqual({ big });
    await users.create("u", { big });
    expect((await users.get("u"))?.profile).toEqual({ big });
  });
});

describe("a number that does not fit", () => {
  it.each([
    ["653247040368672769", 653247040368672769n],
    ["-9007199254740993", -9007199254740993n],
    ["9007199254740992", 9007199254740992],
    ["1e23", 1e23],
    ["123456789012345678e2", 12345678901234567800n],
    ["1e400", 10n ** 400n],
    ["0.1234567890123456789", 0.12345678901234568],
    ["19.90", 19.9],
    ["1e-400", 0],
    ["-0", -0],
    ["1e99999", new ExactNumber("1e99999")],
  ])("%s is read as %s", async (text, value) => {
    await put("k", text);
    expect(await s.cortex.mutable.get("n", "k")).toEqual(value);
    expect((await s.cortex.mutable.getRecord("n", "k"))?.value).toEqual(value);
  });

  it("of a million digits is read in no time that grows with the square", async () => {
    const text = `1${"0".repeat(450_000)}1`;
    await put("k", `{"n":${text},"f":0.${text}}`);
    const value = await s.cortex.mutable.get("n", "k");
    expect(`${value.n}`).toBe(text);
    await s.cortex.mutable.update("n", "k", (d) => ({ ...d, m: 1 }));
    expect(await stored("k")).toBe(`{"n":${text},"f":0.${text},"m":1}`);
  });

  it("is an ExactNumber with exactNumbers, unless it is an integer", async () => {
    const { mutable } = s.client({ exactNumbers: true });
    await put("k", '{"a":0.1234567890123456789,"b":19.90,"c":9007199254740993}');
    const value = await mutable.get("n", "k");
    expect(value).toEqual({
      a: new ExactNumber("0.1234567890123456789"),
      b: 19.9,
      c: 9007199254740993n,
    });
    expect([`${value.a}`, Number(value.a)]).toEqual(["0.1234567890123456789", 0.12345678901234568]);
    await mutable.set("n", "other", [value.a]);
    expect(await stored("other")).toBe("[0.1234567890123456789]");
    expect(() => new ExactNumber("1.")).toThrow("not a number as JSON text: 1.");
    expect(() => s.client({ exactNumbers: 1 as never })).toThrow("exactNumbers");
  });

  it("is told by increment as the store has it", async () => {
    await put("k", "9007199254740993");
    expect((await s.cortex.mutable.increment("n", "k", 2)).value).toBe(9007199254740995n);
    expect((await s.cortex.mutable.increment("n", "k", 9007199254740993n)).value).toBe(
      18014398509481988,
    );
  });

  it("that was touched is written by its value", async () => {
    await put("k", '{"a":1.50,"b":2.50}');
    await s.cortex.mutable.update("n", "k", ({ a, b }) => ({ a: b, b: a, c: 1.5 }));
    expect(await stored("k")).toBe('{"a":2.5,"b":1.5,"c":1.5}');
  });
});

/** A copy of the value with copies of all objects and arrays in it. */
function copyOf<T>(value: T): T {
  if (value instanceof ExactNumber || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyOf) as T;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, copyOf(one)])) as T;
}

// Search finds numbers as they were written, and filters match only what is equal.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const runs = Number(process.env.NUMBER_RUNS ?? 40);

const store = async (id: string, dataJson: string, metadataJson?: string) => {
  const raw = new Raw(s.address);
  const reply = await raw.call(
    ImmutableStore.method.store,
    { type: "t", id, dataJson, ...(metadataJson !== undefined && { metadataJson }) },
    {},
  );
  raw.close();
  expect(reply).not.toHaveProperty("reason");
};

describe("a number in the data", () => {
  it("is found as it was written, and the highlight shows it so", async () => {
    const texts = [
      "653247040368672769",
      "19.90",
      "1.0",
      "1e3",
      "-0.00",
      "0.1234567890123456789",
      "1E+400",
      "-42.50",
    ];
    for (const [i, text] of texts.entries()) await store(`n${i}`, `{"memory_id":${text}}`);
    for (const [i, text] of texts.entries()) {
      const found = await s.cortex.immutable.search(`"${text}"`);
      const own = found.find(({ record }) => record.id === `n${i}`);
      expect([text, own?.highlights[0]?.text]).toEqual([text, `<mark>${text}</mark>`]);
    }
    expect(await s.cortex.immutable.search("653247040368672800")).toEqual([]);
    expect(await s.cortex.immutable.search("653247040368672769")).toHaveLength(1);
  });
});

describe("a filter by metadata", () => {
  const filterOf = (metadataJson: string) => ({ filter: { types: ["t"], metadataJson } });
  const count = async (metadataJson: string) => {
    const raw = new Raw(s.address);
    const reply = await raw.call(ImmutableStore.method.count, filterOf(metadataJson), {});
    raw.close();
    return Number((reply as { count?: bigint }).count ?? 0);
  };

  // Each text is another value.
  const different = [
    "1e400",
    "-1e400",
    "1e401",
    "null",
    "0",
    "1",
    '"1"',
    "9007199254740993",
    "9007199254740992",
    "0.1",
    "0.1000000000000000055511151231257827",
    "1e-400",
    '"\\u0000"',
    '"\\ud800"',
    '"\\udc00"',
    '"\\ufffd"',
    '"\\ufffdu0;"',
    '"\\ufffd\\ufffdu0;"',
    '""',
    '"u0;"',
    '"\\ud83d\\ude00"',
    '"\\ufffdn1e400"',
  ];

  it("matches what is equal, and nothing else", async () => {
    for (const [i, value] of different.entries()) await store(`d${i}`, "{}", `{"n":${value}}`);
    for (const value of different)
      expect([value, await count(`{"n":${value}}`)]).toEqual([value, 1]);
    for (const [value, equal] of [
      ["1e400", "10e399"],
      ["1", "1.0"],
      ["0", "-0"],
      ["0.1", "1e-1"],
      ["9007199254740993", "9007199254740993.0"],
    ] as const)
      expect([equal, await count(`{"n":${equal}}`)]).toEqual([
        equal,
        await count(`{"n":${value}}`),
      ]);
    // purgeMany deletes only what is equal.
    const { immutable } = s.cortex;
    const dry = await immutable.purgeMany(
      { types: ["t"], metadata: { n: "\0" } },
      { dryRun: true },
    );
    expect(dry.recordsAffected).toBe(1);
  });

  it("takes numbers of many digits, in no time that grows with the square", async () => {
    const json = `{"n":1${"0".repeat(60_000)}1}`;
    await store("digits", "{}", json);
    for (let i = 0; i < 20; i++) expect(await count(json)).toBe(1);
  });

  it("tells names of members and tags apart, too", async () => {
    const odd = ["\0", "\ud800", "\udfff", "\ufffd", "\ufffdu0;"];
    for (const [i, text] of odd.entries())
      await store(`m${i}`, "{}", JSON.stringify({ [text]: 1, tags: [text] }));
    for (const text of odd)
      expect([text, await count(JSON.stringify({ [text]: 1 }))]).toEqual([text, 1]);
    expect(await s.cortex.immutable.count({ tags: ["\ufffd"] })).toBe(1);
    expect(await s.cortex.immutable.count({ anyTag: ["\ufffdu0;"] })).toBe(1);
  });

  it("agrees with a model, for any two values", async () => {
    const text = fc.oneof(
      fc.constantFrom(...different),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => JSON.stringify(n)),
      fc.string({ unit: "binary" }).map((one) => JSON.stringify(one)),
      fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }).map(String),
    );
    let id = 0;
    await fc.assert(
      fc.asyncProperty(text, text, async (a, b) => {
        const name = `p${id++}`;
        await store(name, "{}", `{"model":"${name}","v":${a}}`);
        expect(await count(`{"model":"${name}","v":${b}}`)).toBe(isEqual(a, b) ? 1 : 0);
      }),
      { numRuns: runs },
    );
  });
});

/** Equality of two JSON texts of scalars. */
function isEqual(a: string, b: string): boolean {
  const isNumber = (json: string) => /^[-\d]/.test(json);
  if (isNumber(a) !== isNumber(b)) return false;
  if (!isNumber(a)) return JSON.parse(a) === JSON.parse(b);
  return scaled(a) === scaled(b);
}

/** The number times 10^450, exactly. */
function scaled(json: string): bigint {
  const [, sign, whole = "", fraction = "", power = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(json) ?? [];
  const exponent = 450 + Number(power) - fraction.length;
  return BigInt(`${sign}${whole}${fraction}`) * 10n ** BigInt(exponent);
}

// The SQL function of merges: what it costs, and that it agrees to the letter with the plain function of the
// first release, which took each level of the patch apart anew.
import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { migrationFile } from "../../server/postgres/migration-files.js";
import { serve } from "../support/server.js";

const s = serve();

beforeAll(async () => {
  const migration = await readFile(migrationFile("0002_mutable.sql"), "utf8");
  const functions = migration.slice(migration.indexOf("create function json_escapes_hide"));
  await s.sql.unsafe(functions.replace(/json_(merge|escapes)/g, "plain_json_$1"));
});

describe("json_merge_patch", () => {
  const spelled = [
    String.raw`\u0061`,
    "",
    String.raw`\u0000`,
    String.raw`\ud83d`,
    String.raw`\ude00`,
    String.raw`\ud83d\ude00`,
    "😀",
    "\ue000",
    String.raw`\ue000`,
    "\ue0000000",
    String.raw`\\u0000`,
    String.raw`\"`,
    String.raw`},\"`,
    "{",
    "}",
    ":",
    ",",
    "é",
    String.raw`\u00e9\n`,
    "0",
    "__proto__",
    "\u007f",
  ];
  const name = fc
    .oneof(fc.constantFrom("a", "a", "b"), fc.constantFrom(...spelled))
    .map((text) => `"${text}"`);
  const text = fc
    .array(fc.constantFrom(...spelled), { maxLength: 4 })
    .map((texts) => `"${texts.join("")}"`);
  const space = fc.constantFrom("", "", "", " ", "\r\n\t");
  const scalar = fc.oneof(
    fc.constantFrom("null", "true", "1.00", "1e2", "-0", "12345678901234567890.10", "1E+400"),
    text,
  );
  const joined = (open: string, items: string[], close: string, white: string) =>
    `${open}${white}${items.join(`${white},${white}`)}${white}${close}`;
  const { value, object } = fc.letrec<{ value: string; object: string }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      scalar,
      fc
        .tuple(fc.array(tie("value"), { maxLength: 3 }), space)
        .map(([items, white]) => joined("[", items, "]", white)),
      tie("object"),
    ),
    object: fc
      .tuple(fc.array(fc.tuple(name, tie("value")), { maxLength: 4 }), space)
      .map(([members, white]) =>
        joined(
          "{",
          members.map(([key, member]) => `${key}${white}:${white}${member}`),
          "}",
          white,
        ),
      ),
  }));
  // Objects in objects, which two documents often have in common, with members before and after.
  const sibling = fc.option(fc.tuple(name, value), { freq: 2, nil: undefined });
  const step = fc.tuple(
    fc.oneof({ weight: 9, arbitrary: fc.constant('"a"') }, name),
    sibling,
    sibling,
  );
  const chain = fc
    .tuple(fc.array(step, { minLength: 1, maxLength: 24 }), value)
    .map(([steps, innermost]) =>
      steps.reduceRight((inner, [key, before, after]) => {
        const members = [before, [key, inner], after].filter((member) => member !== undefined);
        return `{${members.map(([k, v]) => `${k}:${v}`).join(",")}}`;
      }, innermost),
    );
  // The same text in several places.
  const twice = fc.tuple(chain, name).map(([c, key]) => `{"b":${c},"a":{${key}:${c},"a":${c}}}`);
  const document = fc.oneof(value, object, chain, chain, twice);
  const pair = document.chain((target) =>
    fc.oneof(
      document.map((patch) => [target, patch] as const),
      fc.constant([target, target] as const),
    ),
  );

  it("agrees with the plain function to the letter", async () => {
    const pairs = fc.sample(pair, 1000);
    const different = await s.sql`
      select target, patch
      from unnest(${pairs.map(([target]) => target)}::text[], ${pairs.map(([, patch]) => patch)}::text[]) as sent (target, patch)
      where json_merge_patch(target::json, patch::json)::text is distinct from
        -- A patch that is no object is the result as it was sent. The plain function wrote U+E000 in it in another way.
        case json_typeof(patch::json) when 'object' then plain_json_merge_patch(target::json, patch::json)::text else patch end
      limit 3`;
    expect([...different]).toEqual([]);
  });

  it("costs less than the plain function, which parsed the result of each level", async () => {
    const nested = (depth: number, inner: string) =>
      `${'{"a":'.repeat(depth)}${inner}${"}".repeat(depth)}`;
    const escapes = nested(60, `{"p":"${String.raw`\u00e9 \u0000`.repeat(15_000)}"}`);
    await s.sql`create table merged (target text, patch text)`;
    await s.sql`insert into merged values (${escapes}, ${nested(60, '{"z":1}')})`;
    const time = async (merge: string) => {
      const times: number[] = [];
      for (let i = 0; i < 3; i++) {
        const [row] = await s.sql.unsafe(
          `explain (analyze, timing off, format json) select length(${merge}(target::json, patch::json)::text) from merged`,
        );
        times.push(row?.["QUERY PLAN"][0]["Execution Time"]);
      }
      return Math.min(...times);
    };
    const plain = await time("plain_json_merge_patch");
    expect((await time("json_merge_patch")) / plain).toBeLessThan(0.9);
  });
});

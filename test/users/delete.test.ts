// Tests erasure. Afterwards a dump of every table has neither the user nor the data stored under the user's
// name, and the data of others is unchanged.
import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { type Cortex, CortexError, type DeliveredEntry } from "../../client/index.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Retention } from "../../server/config/retention.js";
import { auditDigest, auditType } from "../../server/storage/audit/audit.js";
import { dump } from "../support/dump.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({ retention: new Retention(-1), sweepSeconds: 1 });

/** Every row of the database, but for what the log of changes keeps: one `erase` for each key. */
const dumpOf = async (sql: typeof s.sql): Promise<string> =>
  (await dump(sql))
    .split("\n")
    .filter((line) => !/^change \(.*,erase,f,,0,\d+,,,,/.test(line))
    .join("\n");
let users: Cortex["users"];
let mutable: Cortex["mutable"];
let immutable: Cortex["immutable"];
beforeAll(() => {
  ({ users, mutable, immutable } = s.cortex);
});

let streamsSeeded = 0;

/** Stores data of a user in every table. */
async function seed(id: string) {
  const marker = `marker-of-${id}`;
  const userId = id;
  await users.create(id, { email: marker });
  await mutable.set("sessions", `${id}:1`, { marker }, { userId, metadata: { marker } });
  await mutable.set("sessions", `${id}:2`, { marker }, { userId, ttlSeconds: 3600 });
  await mutable.get("sessions", `${id}:1`);
  await mutable.getRecord("sessions", `${id}:1`); // makes the server write the counted access
  await mutable.transaction((tx) => {
    tx.set("sessions", `${id}:3`, marker, { userId });
    tx.store({ type: "note", id: `${id}-in-transaction`, data: { marker }, userId });
  });
  await mutable.delete("sessions", `${id}:3`);
  for (const n of [1, 2])
    await immutable.store({ type: "note", id: `note-of-${id}`, data: { n, marker }, userId });
  const { streams } = s.cortex;
  const stream = `steps-${++streamsSeeded}`;
  for (const n of [1, 2])
    await streams.append(stream, { n, marker }, { userId, requestId: `${marker}-${n}` });
  await mutable.transaction((tx) => tx.appendEntry(stream, marker, { userId }));
  const group = streams.group("workers", "a");
  await group.ensure(stream, { maxDeliveries: 1 });
  const [dead, held, done] = await group.read(stream);
  await group.nack(stream, [dead as DeliveredEntry]);
  await group.ack(stream, [done as DeliveredEntry]);
  expect(held?.userId).toBe(id);
  return marker;
}

const nothing = {
  users: 0,
  mutable: 0,
  mutable_access: 0,
  change: expect.any(Number),
  claim: 0,
  claim_waiter: 0,
  stream_entry: 0,
  stream_pending: 0,
  immutable: 0,
  immutable_version: 0,
  request: 0,
};

describe("a user is erased", () => {
  it("with all that is linked, in every table, and nobody else", async () => {
    await seed("other-1");
    const before = await dumpOf(s.sql);
    const marker = await seed("alex-77");
    const dry = await users.delete("alex-77", { cascade: true, dryRun: true });
    expect(dry).toMatchObject({ deleted: false, wouldDelete: true, dryRun: true, verified: false });
    const done = await users.delete("alex-77", { cascade: true, requestId: "erase-it" });
    expect(done).toEqual({
      deleted: true,
      userId: "alex-77",
      counts: {
        users: 1,
        mutable: 2,
        mutable_access: 1,
        immutable: 2,
        immutable_version: 3,
        request: expect.any(Number),
        change: expect.any(Number),
        claim: 0,
        claim_waiter: 0,
        stream_entry: 3,
        stream_pending: 2,
      },
      totalDeleted: expect.any(Number),
      verified: true,
      dryRun: false,
    });
    const { wouldDelete, ...counted } = dry;
    expect({ ...counted, deleted: wouldDelete, dryRun: false, verified: true }).toEqual(done);
    expect(done.counts.request).toBeGreaterThanOrEqual(6);
    expect(done.totalDeleted).toBe(Object.values(done.counts).reduce((sum, n) => sum + n, 0));
    const after = await dumpOf(s.sql);
    expect(after).not.toContain("alex-77");
    expect(after).not.toContain(marker);
    // The stream of the user is still there, without entries.
    const others = before.split("\n").filter((line) => !line.startsWith('usage ("",stream,'));
    for (const line of others) expect(after).toContain(line);
    expect(await users.get("alex-77")).toBeNull();
    expect(await immutable.search(marker)).toEqual([]);
    // A repeat gives the stored reply. A new erasure finds no user.
    expect(await users.delete("alex-77", { cascade: true, requestId: "erase-it" })).toEqual(done);
    expect(await users.delete("alex-77", { cascade: true })).toEqual({
      deleted: false,
      userId: "alex-77",
      counts: {},
      totalDeleted: 0,
      verified: false,
      dryRun: false,
    });
  });

  it("and leaves a record in the audit log that names the user by a digest only", async () => {
    await seed("logged");
    const agent = s.client({ agentId: "privacy-agent" });
    await agent.users.delete("logged", { cascade: true });
    const { records } = await immutable.list({ type: auditType, agentId: "privacy-agent" });
    expect(records).toMatchObject([
      {
        version: 1,
        data: {
          action: "Users.Delete",
          asked: { user: auditDigest("", "logged"), cascade: true },
          deleted: { users: 1, mutable: 2, immutable_version: 3 },
          user: auditDigest("", "logged"),
        },
      },
    ]);
    // The audit record does not name the user, even if the caller's agent id is the id of the user.
    await users.create("myself");
    await s.client({ agentId: "myself" }).users.delete("myself");
    expect(await dumpOf(s.sql)).not.toContain("myself");
  });

  it("without cascade only if nothing is linked to the user", async () => {
    await seed("linked");
    for (const dryRun of [false, true])
      await expect(users.delete("linked", { dryRun })).toFailWith("USER_HAS_DATA", {
        user_id: "linked",
        mutable: "2",
        immutable_version: "3",
      });
    expect(await mutable.count("sessions", { userId: "linked" })).toBe(2);
    await users.create("lonely", { text: "lonely-marker" });
    const alone = await users.delete("lonely");
    expect(alone).toMatchObject({
      deleted: true,
      counts: { ...nothing, users: 1, request: 1 },
      verified: true,
    });
    expect(await dumpOf(s.sql)).not.toContain("lonely");
  });

  it("and a new user with the same id gets nothing of the old data", async () => {
    await seed("again");
    await users.delete("again", { cascade: true });
    expect(await users.create("again")).toMatchObject({ profile: {} });
    expect(await mutable.count("sessions", { userId: "again" })).toBe(0);
    expect(await immutable.get("note", "note-of-again")).toBeNull();
    expect((await immutable.store({ type: "note", id: "note-of-again", data: {} })).version).toBe(
      1,
    );
    const lines = [];
    for await (const line of users.export("again")) lines.push(line);
    expect(lines).toHaveLength(1);
  });

  it("only if the input is valid", async () => {
    await expect(users.delete("")).toFailWith("INVALID_USER_ID");
    await expect(users.delete("u", { cascade: "yes" as never })).toFailWith("INVALID_OPTIONS");
    await expect(users.delete("u", { cascade: true, dryRun: true, verify: true })).toFailWith(
      "INVALID_OPTIONS",
    );
    await expect(users.delete("u", { casade: true } as never)).toFailWith("INVALID_OPTIONS");
    expect(await users.delete("nobody-at-all", { cascade: true })).toMatchObject({
      deleted: false,
    });
  });
});

describe("a record that others have versions of too", () => {
  it("keeps theirs, and can be verified; its current version is gone if it was the user's", async () => {
    const record = { type: "policy", id: "shared" };
    await users.create("author");
    await immutable.store({ ...record, data: { text: "first, of nobody" } });
    await immutable.store({
      ...record,
      data: { text: "of the author" },
      userId: "author",
      metadata: { tags: ["authored"] },
    });
    await immutable.store({ ...record, data: { text: "third" }, userId: null, metadata: null });
    await immutable.store({
      ...record,
      data: { text: "current of the author" },
      userId: "author",
      metadata: { tags: ["authored"] },
    });
    expect(await users.delete("author", { cascade: true })).toMatchObject({
      counts: { immutable: 0, immutable_version: 2 },
      verified: true,
    });
    expect(await dumpOf(s.sql)).not.toContain("author");
    // The record has no current version: no read, list, count or search gives it. Pages of other records stay
    // full.
    expect(await immutable.get("policy", "shared")).toBeNull();
    expect(await immutable.count({ type: "policy" })).toBe(0);
    expect(await immutable.list({ type: "policy" })).toMatchObject({
      records: [],
      total: 0,
      hasMore: false,
    });
    for (const query of ["third", "authored", "current"])
      expect(await immutable.search(query, { searchIn: "both", type: "policy" })).toEqual([]);
    expect((await immutable.getHistory("policy", "shared")).map(({ version }) => version)).toEqual([
      1, 3,
    ]);
    expect(await immutable.getVersion("policy", "shared", 4)).toBeNull();
    expect(await immutable.verifyHistory("policy", "shared")).toMatchObject({
      valid: true,
      versions: 4,
      erased: 2,
      currentVersion: 4,
    });
    // The next store makes the next version, which is current again.
    const next = await immutable.store({ ...record, data: { text: "fifth" } });
    expect(next).toMatchObject({ version: 5, metadata: {} });
    expect(next).not.toHaveProperty("userId");
    expect(await immutable.search("fifth", { type: "policy" })).toHaveLength(1);
    expect(await immutable.verifyHistory("policy", "shared")).toMatchObject({
      valid: true,
      erased: 2,
    });
  });

  it("is deleted as a whole when the last of them is erased", async () => {
    for (const userId of ["one", "two"]) await users.create(userId);
    for (const userId of ["one", "two", "one"])
      await immutable.store({ type: "both", id: "of-one-and-two", data: { userId }, userId });
    expect(await users.delete("two", { cascade: true })).toMatchObject({
      counts: { immutable: 0, immutable_version: 1 },
    });
    expect((await immutable.get("both", "of-one-and-two"))?.version).toBe(3);
    expect(await users.delete("one", { cascade: true })).toMatchObject({
      counts: { immutable: 1, immutable_version: 2 },
    });
    expect(await dumpOf(s.sql)).not.toContain("of-one-and-two");
  });
});

it("a dry run keeps no reply, so no reply outlives the user", async () => {
  await users.create("counted");
  await mutable.set("counted-ns", "k", 1, { userId: "counted" });
  const before = await s.sql`select count(*) from request`;
  await mutable.purgeNamespace("counted-ns", { dryRun: true, requestId: "dry" });
  await immutable.purgeMany({ type: "note" }, { requireConfirmation: true, requestId: "ask" });
  expect(await s.sql`select count(*) from request`).toEqual(before);
});

describe("a request that was made before the erasure", () => {
  it("is not done again when it is repeated: its reply is erased", async () => {
    await users.create("replied");
    await mutable.set("counters", "n", 0);
    const raw = new Raw(s.address);
    const commit = () =>
      raw.call(MutableStore.method.commit, {
        requestId: "of-replied",
        operations: [
          { namespace: "counters", key: "n", operation: { case: "increment", value: {} } },
          {
            namespace: "sessions",
            key: "s",
            operation: { case: "set", value: { valueJson: '"replied-marker"', userId: "replied" } },
          },
        ],
      });
    expect(await commit()).toHaveProperty("results");
    await users.delete("replied", { cascade: true });
    expect(await dumpOf(s.sql)).not.toContain("replied");
    expect(await commit()).toMatchObject({ reason: "REPLY_ERASED", status: 9 });
    expect(await mutable.get("counters", "n")).toBe(1);
    raw.close();
    await users.create("storing");
    const store = () =>
      immutable.store(
        { type: "t", id: "of-storing", data: {}, userId: "storing" },
        { requestId: "stored" },
      );
    await store();
    await users.delete("storing", { cascade: true });
    await expect(store()).toFailWith("REPLY_ERASED");
    // Nothing is left that would tell whether this is another request.
    await expect(users.create("storing", {}, { requestId: "stored" })).toFailWith("REPLY_ERASED");
  });

  it("is not found by guessing what it asked for", async () => {
    const fingerprint = (rpc: string, request: unknown) =>
      createHash("sha256")
        .update(JSON.stringify([rpc, request]))
        .digest("base64url");
    const options = { requestId: "guessed" };
    await users.create("guessed-user", {}, options);
    const guess = fingerprint("Users/Create", ["guessed-user", "{}"]);
    const stored = async () =>
      (await s.sql`select fingerprint from request where reply::text like '%guessed-user%'`)[0];
    expect((await stored())?.fingerprint).not.toBe(guess);
    expect(await s.sql`select from request where fingerprint = ${guess}`).toHaveLength(0);
    const [sealed] = await s.sql`select seal(${guess}) as fingerprint`;
    expect(await stored()).toEqual(sealed); // the guess is right: without the seal it would be found
    await users.create("guessed-user", {}, options); // the repeat is known
    await users.delete("guessed-user");
    expect(
      await s.sql`select from request where fingerprint = ${sealed?.fingerprint}`,
    ).toHaveLength(0);
  });

  it("leaves no sample of the planner", async () => {
    await users.create("sampled-user");
    for (let i = 0; i < 30; i++)
      await mutable.set("sampled", `k${i}`, 1, { userId: "sampled-user" });
    await s.sql`analyze mutable`;
    const samples = async () =>
      (
        await s.sql`select from pg_stats where most_common_vals::text like '%sampled-user%' or histogram_bounds::text like '%sampled-user%'`
      ).length;
    expect(await samples()).toBeGreaterThan(0);
    await users.delete("sampled-user", { cascade: true });
    while ((await samples()) > 0) await pause(50);
  });
});

it("nobody links anything to a user who is being erased: such writes wait, and fail", async () => {
  await users.create("locked");
  await mutable.set("locked", "free", 1);
  const waiting: Promise<string>[] = [];
  await s.sql.begin(async (tx) => {
    // Locks the user, as the first statement of an erasure does.
    await tx`select 1 from users where tenant = '' and id = 'locked' for update`;
    const linking = [
      mutable.set("locked", "set", 1, { userId: "locked" }),
      mutable.transaction([
        { op: "set", namespace: "locked", key: "tx", value: 1, userId: "locked" } as never,
      ]),
      immutable.store({ type: "locked", id: "i", data: {}, userId: "locked" }),
    ].map((call) =>
      call.then(
        () => "done",
        (error: CortexError) => error.code,
      ),
    );
    expect(await Promise.race([...linking, pause(300, "waiting")])).toBe("waiting");
    // Entries of others are not blocked.
    expect(await mutable.increment("locked", "free")).toMatchObject({ value: 2 });
    await tx`delete from users where tenant = '' and id = 'locked'`;
    waiting.push(...linking);
  });
  expect(await Promise.all(waiting)).toEqual([
    "USER_NOT_FOUND",
    "TRANSACTION_FAILED",
    "USER_NOT_FOUND",
  ]);
  expect(await mutable.count("locked")).toBe(1);
});

it("an erasure amid writers who never stop leaves nothing of the user, and changes nobody else's data", async () => {
  const marker = "storm-marker";
  const another = await s.another();
  const clients = [s.client(), s.client({ address: another.address })];
  const id = "storm-user";
  let stop = false;
  const refused = new Map<string, number>();
  const others = new Map<string, number>();
  await users.create(id);
  const attempt = async (call: () => Promise<unknown>) => {
    try {
      await call();
    } catch (error) {
      if (!(error instanceof CortexError)) throw error;
      refused.set(error.code, (refused.get(error.code) ?? 0) + 1);
    }
  };
  const writers = clients.flatMap((cortex, c) =>
    Array.from({ length: 6 }, async (_, w) => {
      for (let i = 0; !stop; i++) {
        const key = `${c}-${w}-${i % 5}`;
        await attempt(() => cortex.mutable.set("storm", key, { marker }, { userId: id }));
        await attempt(() =>
          cortex.mutable
            .append("storm-lists", "shared", "of nobody", { createIfMissing: true })
            .then(() => cortex.mutable.set("storm-lists", "shared", [marker], { userId: id })),
        );
        await attempt(() =>
          cortex.immutable.store({ type: "storm", id: key, data: { marker }, userId: id }),
        );
        await attempt(() =>
          cortex.mutable.transaction((tx) => {
            tx.set("storm", `${key}-tx`, marker, { userId: id });
            tx.store({ type: "storm", id: `${key}-tx`, data: { marker }, userId: id });
          }),
        );
        await attempt(() => cortex.mutable.get("storm", key));
        await cortex.mutable.increment("bystander", `${c}-${w}`, 1, { createIfMissing: true });
        others.set(`${c}-${w}`, (others.get(`${c}-${w}`) ?? 0) + 1);
      }
    }),
  );
  await pause(1500);
  const done = await users.delete(id, { cascade: true });
  await pause(300);
  stop = true;
  await Promise.all(writers);
  expect(done).toMatchObject({ deleted: true, verified: true });
  expect(done.counts.mutable).toBeGreaterThan(10);
  expect(done.counts.immutable_version).toBeGreaterThan(10);
  const left = (await dumpOf(s.sql))
    .split("\n")
    .filter((line) => line.includes(id) || line.includes(marker));
  expect(left).toEqual([]);
  expect(refused.get("USER_NOT_FOUND")).toBeGreaterThan(0);
  for (const [key, n] of others) expect(await mutable.get("bystander", key)).toBe(n);
}, 60_000);

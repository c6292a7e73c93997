import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Claim } from "../../client/index.js";
import { Streams } from "../../gen/cortex/streams/v1/streams_pb.js";
import { connect } from "../../server/postgres/connection.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";
import { dataOf, fill, groupWith, idsOf, numbersOf } from "../support/streams.js";

const s = serve();
const short = { visibilitySeconds: 0.3 };

describe("a read", () => {
  it("gives each entry to one consumer, in order, until it is acknowledged", async () => {
    const { streams } = s.cortex;
    const a = await groupWith(s.cortex, "a", 5);
    const b = streams.group("workers", "b");
    const other = streams.group("others", "a");
    await other.ensure("a");
    const first = await a.read("a", { count: 2 });
    expect(first).toEqual([
      { id: expect.any(String), data: 1, delivery: first[0]?.delivery, deliveries: 1 },
      { id: expect.any(String), data: 2, delivery: first[0]?.delivery, deliveries: 1 },
    ]);
    const second = await b.read("a", { count: 2 });
    expect(dataOf(second)).toEqual([3, 4]);
    expect(second[0]?.delivery).not.toBe(first[0]?.delivery);
    expect(dataOf(await a.read("a"))).toEqual([5]);
    expect(await b.read("a")).toEqual([]);
    expect(dataOf(await other.read("a"))).toEqual([1, 2, 3, 4, 5]); // each group gets all
  });

  it("never gives an entry to two, however many read at once on two servers", async () => {
    await groupWith(s.cortex, "crowd", 500);
    const another = s.client({ address: (await s.another()).address });
    const reads = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        (n % 2 ? s.cortex : another).streams.group("workers", `${n}`).read("crowd", { count: 10 }),
      ),
    );
    const ids = reads.flatMap(idsOf);
    expect(ids).toHaveLength(500);
    expect(new Set(ids).size).toBe(500);
  });

  it("gives about 1 MiB at a time, and at least one entry", async () => {
    const group = await groupWith(s.cortex, "big", 0, short);
    for (let i = 0; i < 4; i++) await s.cortex.streams.append("big", `${i}`.padEnd(400_000));
    expect(await group.read("big", { count: 100 })).toHaveLength(3);
    await pause(350);
    expect(await group.read("big", { count: 100 })).toHaveLength(3); // those that came back
    expect(await group.read("big", { count: 100 })).toHaveLength(1);
  });

  it("gets what was not acknowledged within the visibility time, as what comes first", async () => {
    const group = await groupWith(s.cortex, "back", 3, short);
    const [one] = await group.read("back", { count: 2 });
    await group.ack("back", [one as never]);
    await pause(350);
    const again = await s.cortex.streams.group("workers", "b").read("back");
    expect(dataOf(again)).toEqual([2, 3]);
    expect(numbersOf(again)).toEqual([2, 1]);
  });

  it("makes dead letters of what was delivered too often", async () => {
    const group = await groupWith(s.cortex, "dead", 2, { ...short, maxDeliveries: 2 });
    expect(numbersOf(await group.read("dead"))).toEqual([1, 1]);
    await pause(350);
    expect(numbersOf(await group.read("dead"))).toEqual([2, 2]);
    await pause(350);
    await fill(s.cortex, "dead", 1);
    expect(numbersOf(await group.read("dead", { blockMs: 5000 }))).toEqual([1]);
    expect(await group.info("dead")).toMatchObject({ pending: 1, deadLetters: 2 });
  });

  it("that makes dead letters gives others instead of them", async () => {
    const group = await groupWith(s.cortex, "instead", 3, { ...short, maxDeliveries: 1 });
    await group.read("instead", { count: 2 });
    await pause(350);
    expect(dataOf(await group.read("instead", { count: 1 }))).toEqual([3]);
  });
});

describe("a read that waits", () => {
  it("is woken by an append, on any server", async () => {
    const group = await groupWith(s.cortex, "wait", 0);
    const another = s.client({ address: (await s.another()).address });
    for (const cortex of [s.cortex, another]) {
      const reading = group.read("wait", { blockMs: 20_000 });
      await pause(100);
      const at = performance.now();
      await cortex.streams.append("wait", 1);
      expect(dataOf(await reading)).toEqual([1]);
      expect(performance.now() - at).toBeLessThan(5000);
    }
  });

  it("ends after its time, without entries", async () => {
    const group = await groupWith(s.cortex, "nothing", 0);
    const at = performance.now();
    expect(await group.read("nothing", { blockMs: 300 })).toEqual([]);
    expect(performance.now() - at).toBeGreaterThan(290);
  });

  it("gets its turn in the order of arrival, and no entry twice", async () => {
    await groupWith(s.cortex, "turns", 0);
    const done: string[] = [];
    const reads = [];
    for (let n = 0; n < 20; n++) {
      const read = s.cortex.streams
        .group("workers", `${n}`)
        .read("turns", { count: 1, blockMs: 20_000 });
      reads.push(read);
      void read.then((entries) => done.push(`${n}:${dataOf(entries)}`));
      await pause(5);
    }
    await pause(200);
    for (let n = 0; n < 20; n++) await s.cortex.streams.append("turns", n);
    const entries = (await Promise.all(reads)).flat();
    expect(dataOf(entries)).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(done).toHaveLength(20);
  });

  it("gets an entry when it comes back by itself, or is given back", async () => {
    const group = await groupWith(s.cortex, "returns", 1, { visibilitySeconds: 0.5 });
    const b = s.cortex.streams.group("workers", "b");
    const [first] = await group.read("returns");
    const [second] = await b.read("returns", { blockMs: 20_000 });
    expect(second).toMatchObject({ id: first?.id, deliveries: 2 });
    const reading = group.read("returns", { blockMs: 20_000 });
    await b.nack("returns", [second as never], { delayMs: 100 });
    expect(numbersOf(await reading)).toEqual([3]);
  });

  it("needs no wake-up: what the bus loses is found", async () => {
    const group = await groupWith(s.cortex, "lost", 0);
    const reading = group.read("lost", { blockMs: 20_000 });
    await pause(200);
    await s.sql`
      insert into stream_entry (tenant, stream_id, ms, seq, data) select tenant, id, 1, 0, '1' from stream where name = 'lost'`;
    await s.sql`update stream set last_ms = 1, entries = 1, bytes = 1 where name = 'lost'`;
    expect(dataOf(await reading)).toEqual([1]);
  });

  it("holds no connection, and holds up nothing", async () => {
    const settings = { poolSize: 1 };
    const narrow = s.client({ address: (await s.another(settings)).address });
    await groupWith(narrow, "narrow", 0);
    const waiting = Array.from({ length: 100 }, (_, n) =>
      narrow.streams.group("workers", `${n}`).read("narrow", { count: 1, blockMs: 20_000 }),
    );
    await pause(300);
    for (let n = 0; n < 50; n++) await narrow.mutable.set("n", "k", n);
    await fill(narrow, "narrow", 100);
    expect((await Promise.all(waiting)).flat()).toHaveLength(100);
  });

  it("of a caller that has gone takes no entry", async () => {
    const group = await groupWith(s.cortex, "gone", 0);
    const controller = new AbortController();
    const reading = group.read("gone", { blockMs: 20_000, signal: controller.signal });
    await pause(200);
    controller.abort();
    await expect(reading).rejects.toMatchObject({ code: "CANCELLED" });
    await pause(100);
    await fill(s.cortex, "gone", 1);
    expect(numbersOf(await group.read("gone"))).toEqual([1]);
  });

  it("ends at once when the server stops", async () => {
    await groupWith(s.cortex, "stop", 0);
    const stopping = await s.another();
    const raw = new Raw(stopping.address);
    const reading = raw.call(Streams.method.read, {
      stream: "stop",
      group: "workers",
      consumer: "a",
      blockSeconds: 60,
    });
    await pause(200);
    const at = performance.now();
    await stopping.stop();
    expect(await reading).toMatchObject({ reason: "SHUTTING_DOWN" });
    expect(performance.now() - at).toBeLessThan(5000);
    raw.close();
  });

  it("is refused beyond --queue-max of a tenant", async () => {
    const crowded = s.client({ address: (await s.another({ queueMax: 3 })).address });
    await groupWith(crowded, "many", 0);
    const group = (n: number) => crowded.streams.group("workers", `${n}`);
    const waiting = [0, 1, 2].map((n) => group(n).read("many", { blockMs: 3000 }));
    await pause(300);
    await expect(group(3).read("many", { blockMs: 100, timeoutMs: 200 })).rejects.toMatchObject({
      code: "OVERLOADED",
    });
    await Promise.all(waiting);
  });
});

describe("beside what deletes entries, a read", () => {
  /** Reads and acknowledges until `others` have ended. Gives the ids, each once. */
  async function readBeside(stream: string, others: Promise<unknown>[]): Promise<Set<string>> {
    const another = s.client({ address: (await s.another()).address });
    let isOver = false;
    const seen = new Set<string>();
    const reading = [s.cortex, another, s.cortex].map(async (cortex, n) => {
      const group = cortex.streams.group("workers", `${n}`);
      while (!isOver) {
        const entries = await group.read(stream, { count: 20 });
        for (const { id } of entries) {
          expect(seen.has(id)).toBe(false);
          seen.add(id);
        }
        if (n > 0) await group.ack(stream, entries);
        if (entries.length === 0) await pause(5);
      }
    });
    await Promise.all(others);
    isOver = true;
    await Promise.all(reading);
    return seen;
  }
  /** What is pending without an entry. */
  const orphans = () => s.sql`
    select p.* from stream_pending p join stream_group g on g.id = p.group_id
    where not exists (select from stream_entry e where e.stream_id = g.stream_id and e.ms = p.ms and e.seq = p.seq)`;

  it("leaves nothing pending that a trim has deleted", async () => {
    await groupWith(s.cortex, "trimmed", 0);
    const writing = (async () => {
      for (let i = 0; i < 40; i++) {
        await fill(s.cortex, "trimmed", 200);
        await s.cortex.streams.trim("trimmed", { maxLen: 50 });
      }
    })();
    await readBeside("trimmed", [writing]);
    expect(await orphans()).toEqual([]);
    const { length } = (await s.cortex.streams.info("trimmed")) ?? {};
    const [{ count }] = await s.sql<[{ count: number }]>`
      select count(*)::int from stream_entry e join stream s on s.id = e.stream_id where s.name = 'trimmed'`;
    expect(length).toBe(count);
  }, 60_000);

  it("leaves nothing pending that an append with a limit has deleted, and loses nothing else", async () => {
    await groupWith(s.cortex, "limited", 0);
    const appended: string[] = [];
    const writing = Array.from({ length: 4 }, async () => {
      for (let i = 0; i < 100; i++)
        appended.push(
          ...(await s.cortex.streams.appendMany(
            "limited",
            Array.from({ length: 10 }, () => ({ data: 1 })),
            { maxLen: 30 },
          )),
        );
    });
    const seen = await readBeside("limited", writing);
    expect(await orphans()).toEqual([]);
    for (const id of seen) expect(appended).toContain(id);
    const group = s.cortex.streams.group("workers", "0");
    const { pending } = await group.info("limited");
    const held = (await group.pending("limited", { limit: 1000 })).entries;
    expect(held).toHaveLength(Math.min(pending, 1000));
  }, 60_000);

  it("leaves nothing pending of a user who is erased", async () => {
    await groupWith(s.cortex, "erased", 0);
    const writing = (async () => {
      for (let i = 0; i < 15; i++) {
        await s.cortex.users.upsert("u", {});
        const entries = Array.from({ length: 300 }, () => ({ data: 1, userId: "u" }));
        await s.cortex.streams.appendMany("erased", entries);
        await s.cortex.users.delete("u", { cascade: true, verify: true });
      }
    })();
    await readBeside("erased", [writing]);
    expect(await orphans()).toEqual([]);
    expect(await s.cortex.streams.info("erased")).toMatchObject({ length: 0, bytes: 0 });
  }, 60_000);
});

describe("a repeat of a read", () => {
  it("gets what is still held of the same delivery", async () => {
    const group = await groupWith(s.cortex, "repeat", 6, short);
    const options = { count: 3, requestId: "read-1" };
    const first = await group.read("repeat", options);
    expect(await group.read("repeat", options)).toEqual(first);
    await group.ack("repeat", first.slice(0, 1));
    expect(await group.read("repeat", options)).toEqual(first.slice(1));
    await pause(350);
    await s.cortex.streams.group("workers", "b").read("repeat", { count: 1 });
    expect(await group.read("repeat", options)).toEqual(first.slice(2));
    await expect(group.read("repeat", { ...options, count: 2 })).rejects.toMatchObject({
      code: "REQUEST_ID_REUSED",
    });
  });

  it("that runs beside the first gets the same", async () => {
    const group = await groupWith(s.cortex, "beside", 0);
    const another = s.client({ address: (await s.another()).address });
    const options = { count: 2, blockMs: 20_000, requestId: "read-2" };
    const reads = [s.cortex, another, s.client()].map((cortex) =>
      cortex.streams.group("workers", "a").read("beside", options),
    );
    await pause(300);
    await fill(s.cortex, "beside", 10);
    const [one, two, three] = await Promise.all(reads);
    expect(two).toEqual(one);
    expect(three).toEqual(one);
    expect(await group.info("beside")).toMatchObject({ pending: one?.length });
  });

  it("that waits behind the first gets the only entry too", async () => {
    await groupWith(s.cortex, "behind", 0);
    const another = s.client({ address: (await s.another()).address });
    const options = { count: 1, blockMs: 5000, requestId: "read-3" };
    const reads = [s.cortex, another, s.cortex].map((cortex) =>
      cortex.streams.group("workers", "a").read("behind", options),
    );
    await pause(300);
    const at = performance.now();
    await fill(s.cortex, "behind", 1);
    const [one, two, three] = await Promise.all(reads);
    expect(dataOf(one ?? [])).toEqual([1]);
    expect(two).toEqual(one);
    expect(three).toEqual(one);
    expect(performance.now() - at).toBeLessThan(4000);
  });
});

it("waits for whoever delivers entries of the group at the moment", async () => {
  const group = await groupWith(s.cortex, "locked", 1);
  const other = connect(s.databaseUrl, { max: 1 });
  let isRead = false;
  await other.begin(async (tx) => {
    await tx`select from stream_group for update`;
    void group.read("locked").then(() => {
      isRead = true;
    });
    await pause(200);
    expect(isRead).toBe(false);
  });
  await expect.poll(() => isRead).toBe(true);
  await other.end();
});

it("is refused once its claim is not held", async () => {
  const group = await groupWith(s.cortex, "guarded", 2);
  const claim = (await s.cortex.claims.acquire("reader", { ttlSeconds: 60 })) as Claim;
  expect(await claim.streams.group("workers", "a").read("guarded", { count: 1 })).toHaveLength(1);
  await claim.release();
  await expect(group.read("guarded", { claim })).rejects.toMatchObject({ code: "FENCE_STALE" });
  expect(dataOf(await group.read("guarded"))).toEqual([2]);
});

it("refuses what cannot be", async () => {
  const group = await groupWith(s.cortex, "bad", 1);
  const refused = (options: object, code: string) =>
    expect(group.read("bad", options)).rejects.toMatchObject({ code });
  await refused({ count: 0 }, "INVALID_LIMIT");
  await refused({ count: 1001 }, "INVALID_LIMIT");
  await refused({ blockMs: -1 }, "INVALID_OPTIONS");
  await refused({ blockMs: 3_600_001 }, "INVALID_OPTIONS");
  await refused({ block: 5 }, "INVALID_OPTIONS");
  await expect(group.read("")).rejects.toMatchObject({ code: "INVALID_STREAM" });
  await expect(group.read("none")).rejects.toMatchObject({
    code: "GROUP_NOT_FOUND",
    details: { stream: "none", group: "workers" },
  });
  await expect(s.cortex.streams.group("none", "a").read("bad")).rejects.toMatchObject({
    code: "GROUP_NOT_FOUND",
  });
  await expect(s.cortex.streams.group("workers", " ").read("bad")).rejects.toMatchObject({
    code: "INVALID_STREAM",
    details: { field: "consumer" },
  });
});

describe("a tenant with too many pending", () => {
  const small = serve({ quotaPending: 5 });

  it("gets no new entries until it has acknowledged some, but those that come back", async () => {
    const group = await groupWith(small.cortex, "a", 10, { visibilitySeconds: 2.5 });
    const held = await group.read("a", { count: 8 });
    expect(held).toHaveLength(5);
    await expect(group.read("a")).rejects.toMatchObject({
      code: "QUOTA_EXCEEDED",
      details: { quota: "pending", limit: "5" },
    });
    await pause(1600);
    expect(await group.read("a")).toHaveLength(5);
    await group.ack("a", idsOf(held).slice(0, 2));
    expect(dataOf(await group.read("a"))).toEqual([6, 7]);
    await small.cortex.mutable.set("n", "k", 1); // other writes go on
  });

  it("is not refused because of what others may read at the same time", async () => {
    const cortex = small.client({ tenantId: "many" });
    const reads = Array.from({ length: 5 }, async (_, n) => {
      const group = await groupWith(cortex, `s${n}`, 1);
      return group.read(`s${n}`, { count: 1000 });
    });
    expect((await Promise.all(reads)).map(dataOf)).toEqual([[1], [1], [1], [1], [1]]);
  });
});

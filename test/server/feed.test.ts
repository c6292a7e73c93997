// The log of changes: what it keeps, for how long, and when cursors expire.
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Cortex, MutableChange } from "../../client/index.js";
import { Feed } from "../../server/feed/feed.js";
import { type Position, readPage } from "../../server/feed/log.js";
import { parseSnapshot } from "../../server/feed/snapshot.js";
import type { Item } from "../../server/feed/watcher.js";
import { Bus } from "../../server/postgres/bus.js";
import { connect, type Run } from "../../server/postgres/connection.js";
import { serve } from "../support/server.js";
import { collect, opened } from "../support/watch.js";

/** A cursor of now. */
async function cursorOf({ mutable }: Cortex, namespace: string): Promise<string> {
  const watch = await opened((more) => mutable.watch(namespace, more));
  await mutable.set(namespace, "a", 1);
  const [change] = await collect(watch, 1);
  return (change as MutableChange).cursor;
}

const next = (cortex: Cortex, namespace: string, cursor: string) =>
  cortex.mutable.watch(namespace, { cursor }).next();

const until = async (condition: () => Promise<boolean>) => {
  for (let left = 300; !(await condition()); left--) {
    if (left === 0) throw new Error("it did not happen");
    await pause(100);
  }
};

describe("a log that is kept for 3 seconds", () => {
  const s = serve({ watchRetention: 3 });

  it("expires cursors of what it dropped, also while a transaction is open, and no others", async () => {
    const old = await cursorOf(s.cortex, "n");
    const other = connect(s.databaseUrl, { max: 1 });
    await other.begin(async (tx) => {
      await tx`create table stays_open ()`;
      const isDropped = async () => {
        await s.cortex.mutable.set("n", "a", 1);
        const [row] = await s.sql`select count(*)::int as count from change where id = 1`;
        return row?.count === 0;
      };
      await until(isDropped);
      await expect(next(s.cortex, "n", old)).rejects.toMatchObject({ code: "CURSOR_EXPIRED" });
      const fresh = await cursorOf(s.cortex, "n");
      await s.cortex.mutable.set("n", "b", 1);
      expect((await next(s.cortex, "n", fresh)).value).toMatchObject({ key: "b" });
    });
    await other.end();
  }, 60_000);

  it("does not drop what an open transaction has written, and holds up no writer", async () => {
    await s.cortex.mutable.set("n", "c", 1);
    const other = connect(s.databaseUrl, { max: 1 });
    const slots = async () =>
      (await s.sql`select slot from feed_closed order by slot`).map(({ slot }) => slot as number);
    await other.begin(async (tx) => {
      const [row] = await tx`
        insert into mutable (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
        values ('', 'n', 'open', '1', now(), now(), nextval('revision'), 1) returning (select slot from feed) as slot`;
      const until8 = performance.now() + 8000;
      let slowest = 0;
      while (performance.now() < until8) {
        const startedAt = performance.now();
        await s.cortex.mutable.set("n", "busy", 1);
        slowest = Math.max(slowest, performance.now() - startedAt);
      }
      expect(await slots()).not.toContain(row?.slot); // it cannot be closed
      expect(slowest).toBeLessThan(2000);
    });
    const [kept] = await s.sql`select count(*)::int as count from change where name = 'open'`;
    expect(kept?.count).toBe(1);
    await other.end();
  }, 60_000);
});

describe("a log of 256 KiB", () => {
  const s = serve({ watchBytesMax: 256 * 1024 });

  it("drops the oldest early, first of the tenant that has the most", async () => {
    const quiet = s.client({ tenantId: "quiet" });
    const loud = s.client({ tenantId: "loud" });
    const quietCursor = await cursorOf(quiet, "n");
    const loudCursor = await cursorOf(loud, "n");
    const write = () => loud.mutable.set("n", "big", Math.random().toString(36).repeat(2000));
    await until(async () => {
      await Promise.all([write(), write()]);
      const [row] =
        await s.sql`select count(*)::int as count from feed_floor where tenant = 'loud'`;
      return row?.count === 1;
    });
    await expect(next(loud, "n", loudCursor)).rejects.toMatchObject({ code: "CURSOR_EXPIRED" });
    await quiet.mutable.set("n", "b", 1);
    expect((await next(quiet, "n", quietCursor)).value).toMatchObject({ key: "b" });
  }, 60_000);
});

describe("a log that is switched off", () => {
  const s = serve({ watchRetention: 0 });

  it("keeps nothing: WATCH_DISABLED; switched on again, it expires the cursors of before", async () => {
    await expect(s.cortex.mutable.watch("n").next()).rejects.toMatchObject({
      code: "WATCH_DISABLED",
    });
    await s.cortex.mutable.set("n", "a", 1);
    expect(await s.sql`select from change`).toHaveLength(0);
    await s.another({ watchRetention: 60 });
    const cursor = await cursorOf(s.cortex, "n");
    const live = await opened((more) => s.cortex.mutable.watch("n", more));
    await s.another({ watchRetention: 0 });
    await expect(live.next()).rejects.toMatchObject({ code: "WATCH_DISABLED" });
    await s.another({ watchRetention: 60 });
    await expect(next(s.cortex, "n", cursor)).rejects.toMatchObject({ code: "CURSOR_EXPIRED" });
  });
});

describe("a database that was restored", () => {
  const s = serve();

  it("expires the cursors of the one that it was copied from", async () => {
    const cursor = await cursorOf(s.cortex, "n");
    await s.sql`update feed set identity = 'of another database'`; // as in a copy
    const { address } = await s.another();
    const other = s.client({ address });
    await expect(next(other, "n", cursor)).rejects.toMatchObject({ code: "CURSOR_EXPIRED" });
    expect(await s.sql`select from change`).toHaveLength(0);
    await cursorOf(other, "n");
  });
});

describe("an erasure", () => {
  const s = serve();

  it("takes what a watch has read before and not put into its queue, and nothing of a new user of that id", async () => {
    const { mutable, users } = s.cortex;
    const run = ((build) => build(s.sql)) as Run;
    const bus = new Bus(s.databaseUrl);
    const failures: unknown[] = [];
    const monitor = { did: () => {}, cannot: (_: string, error: unknown) => failures.push(error) };
    const feed = new Feed(run, bus, monitor, 10);
    await feed.state();
    const watcher = feed.open({
      tenant: "",
      store: "entry",
      space: "n",
      name: undefined,
      prefix: "",
    });
    await feed.join(watcher, new AbortController().signal);
    const position = { from: watcher.position } as Position;
    const read = async (): Promise<Item[]> => {
      const options = { tenant: "", matches: undefined, rowsMax: 100, bytesMax: 1e6 };
      const { changes, batch } = await readPage(run, position, options);
      return changes.filter(({ store }) => store === "entry").map((change) => ({ change, batch }));
    };
    const erased = (items: Item[]) =>
      items.filter((item) => feed.erasures.cover(item)).map(({ change }) => change.name);

    await users.upsert("u", {});
    await mutable.set("n", "a", "secret", { userId: "u" });
    await mutable.set("n", "b", "public");
    const before = await read();
    expect(before.map(({ change }) => change.name)).toEqual(["a", "b"]);
    expect(erased(before)).toEqual([]);
    await users.delete("u", { cascade: true });
    await users.upsert("u", {});
    await mutable.set("n", "c", "of the new user", { userId: "u" });
    await until(async () => watcher.live.some(({ change }) => change.name === "c"));
    expect(erased(before)).toEqual(["a"]);
    expect(erased(await read())).toEqual([]);
    expect(watcher.live.map(({ change }) => [change.kind, change.name])).toEqual([
      ["set", "b"],
      ["erase", "a"],
      ["set", "c"],
    ]);
    feed.remove(watcher);
    await feed.close();
    await bus.close();
    expect(failures).toEqual([]);
  });
});

describe("a reader", () => {
  const s = serve();

  it("gives a watcher that joins within a batch of several pages nothing of that batch", async () => {
    const bus = new Bus(s.databaseUrl);
    let pages = 0;
    let onPage = () => {};
    const run = (async (build) => {
      const rows = await (build(s.sql) as unknown as Promise<{ upto?: string }[]>);
      if (rows[0]?.upto !== undefined && rows.length > 1000) {
        pages++;
        onPage();
      }
      return rows;
    }) as Run;
    const feed = new Feed(run, bus, { did: () => {}, cannot: () => {} }, 10);
    const selector = {
      tenant: "",
      store: "entry",
      space: "n",
      name: undefined,
      prefix: "",
    } as const;
    const { signal } = new AbortController();
    const first = feed.open(selector);
    await feed.join(first, signal);
    let late: Promise<void> | undefined;
    const second = feed.open(selector);
    onPage = () => {
      late ??= feed.join(second, signal);
    };
    await s.sql`
      insert into change (slot, tenant, store, space, name, kind, is_new, bytes, revision, at)
      select slot, '', 'entry', 'n', 'k' || i, 'set', true, 0, i, now() from feed, generate_series(1, 12000) as i`;
    feed.announce();
    await until(async () => late !== undefined);
    await late;
    expect(pages).toBeGreaterThan(2);
    expect(second.live).toEqual([]);
    await s.cortex.mutable.set("n", "after", 1);
    await until(async () => second.live.length > 0);
    expect(second.live.map(({ change }) => change.name)).toEqual(["after"]);
    for (const watcher of [first, second]) feed.remove(watcher);
    await feed.close();
    await bus.close();
  });

  it("counts no transaction as seen whose id a crash could give away again", async () => {
    const read = async () => {
      const [row] = await s.sql`
        select pg_snapshot_xmax(durable_snapshot()::pg_snapshot)::text as durable,
          pg_snapshot_xmax(pg_current_snapshot())::text as now, max(xid)::text as logged from change`;
      return row as { durable: string; now: string; logged: string };
    };
    await s.cortex.mutable.set("n", "logged", 1);
    const { logged } = await read();
    const [before] = await s.sql`select count(*)::int as count from feed_snapshot`;
    for (let i = 0; i < 50; i++)
      await s.sql.begin(async (tx) => {
        await tx`select pg_current_xact_id()`; // leaves nothing behind
      });
    const { durable, now } = await read();
    const run = ((build) => build(s.sql)) as Run;
    const { next } = await readPage(
      run,
      { from: parseSnapshot("0:0:") },
      { rowsMax: 1e6, bytesMax: 1e9 },
    );
    const [after] = await s.sql`select count(*)::int as count from feed_snapshot`;
    expect(Number(now)).toBeGreaterThan(Number(logged) + 50);
    if (after?.count === before?.count) {
      expect(Number(durable)).toBe(Number(logged) + 1);
      expect(`${next.from.xmax}`).toBe(durable);
    }
    expect(Number(durable)).toBeLessThan(Number(now));
    await until(async () => Number((await read()).durable) >= Number(now)); // it goes on by itself
  });
});

describe("limits", () => {
  const s = serve({ watchesMax: 3 });

  it("let a tenant have so many watches, and others theirs", async () => {
    const open = (cortex: Cortex) => opened((more) => cortex.mutable.watch("n", more));
    const watches = [await open(s.cortex), await open(s.cortex), await open(s.cortex)];
    const fourth = s.cortex.mutable.watch("n", { timeoutMs: 300 }).next();
    await expect(fourth).rejects.toMatchObject({ code: "OVERLOADED", details: { limit: "3" } });
    await open(s.client({ tenantId: "other" }));
    const [first] = watches;
    await s.cortex.mutable.set("n", "a", 1);
    await collect(first as AsyncGenerator<MutableChange>, 1); // leaves it
    await open(s.cortex);
  });
});

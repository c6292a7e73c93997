import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { Streams } from "../../gen/cortex/streams/v1/streams_pb.js";
import { connect } from "../../server/postgres/connection.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";
import { dataOf, fill } from "../support/streams.js";

const s = serve();

it("begins at the first entry, after the last one, or after an id", async () => {
  const { streams } = s.cortex;
  const ids = await fill(s.cortex, "a", 3);
  const read = async (name: string, from?: string) => {
    const group = streams.group(name, "c");
    await group.ensure("a", from === undefined ? {} : { from });
    return dataOf(await group.read("a"));
  };
  expect(await read("default")).toEqual([1, 2, 3]);
  expect(await read("beginning", "beginning")).toEqual([1, 2, 3]);
  expect(await read("end", "end")).toEqual([]);
  expect(await read("after", ids[1])).toEqual([3]);
  await fill(s.cortex, "a", 1);
  expect(dataOf(await streams.group("end", "c").read("a"))).toEqual([1]);
});

it("creates the stream, keeps the place of a group, and changes the options that are given", async () => {
  const { streams } = s.cortex;
  const group = streams.group("g", "c");
  expect(await group.ensure("new", { from: "end", maxDeliveries: 3 })).toEqual({ created: true });
  expect(await streams.info("new")).toMatchObject({ length: 0 });
  await fill(s.cortex, "new", 3);
  await group.read("new", { count: 2 });
  expect(await group.ensure("new", { from: "beginning" })).toEqual({ created: false });
  expect(await group.info("new")).toMatchObject({
    visibilitySeconds: 60,
    maxDeliveries: 3,
    lag: 1,
  });
  await group.ensure("new", { visibilitySeconds: 5 });
  expect(await group.info("new")).toMatchObject({ visibilitySeconds: 5, maxDeliveries: 3 });
  await group.ensure("new", { maxDeliveries: 0 });
  const info = await group.info("new");
  expect(info).toMatchObject({ visibilitySeconds: 5 });
  expect(info.maxDeliveries).toBeUndefined();
});

it("by many at once creates one stream with one group", async () => {
  const another = s.client({ address: (await s.another()).address });
  const made = await Promise.all(
    Array.from({ length: 40 }, (_, n) =>
      (n % 2 ? s.cortex : another).streams.group("g", `${n}`).ensure("crowd"),
    ),
  );
  expect(made.filter(({ created }) => created)).toHaveLength(1);
  expect(
    await s.sql`select from stream_group g join stream s on s.id = g.stream_id where s.name = 'crowd'`,
  ).toHaveLength(1);
});

it("is done once under its request id", async () => {
  const group = s.cortex.streams.group("once", "c");
  const options = { requestId: "ensure-1" };
  expect(await group.ensure("once", options)).toEqual({ created: true });
  expect(await group.ensure("once", options)).toEqual({ created: true });
  await expect(group.ensure("once", { ...options, maxDeliveries: 1 })).rejects.toMatchObject({
    code: "REQUEST_ID_REUSED",
  });
});

it("waits for a stream that is locked, in one connection however many wait", async () => {
  await fill(s.cortex, "locked", 1);
  const other = connect(s.databaseUrl, { max: 1 });
  const groups = Array.from({ length: 30 }, (_, n) => s.cortex.streams.group(`g${n}`, "a"));
  let ensured: Promise<{ created: boolean }[]> | undefined;
  let most = 0;
  await other.begin(async (tx) => {
    await tx`select from stream where name = 'locked' for update`;
    ensured = Promise.all(groups.map((group) => group.ensure("locked")));
    for (let i = 0; i < 40; i++) {
      await pause(10);
      const [row] = await s.sql<{ n: number }[]>`
        select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      most = Math.max(most, row?.n ?? 0);
    }
  });
  expect(await ensured).toEqual(groups.map(() => ({ created: true })));
  expect(most).toBeLessThanOrEqual(1);
  await other.end();
});

it("refuses what cannot be, and the 101st group of a stream", async () => {
  const { streams } = s.cortex;
  const refused = (options: object, code: string, name = "g") =>
    expect(streams.group(name, "c").ensure("bad", options)).rejects.toMatchObject({ code });
  await refused({}, "INVALID_STREAM", "");
  await refused({}, "INVALID_STREAM", "x".repeat(257));
  await refused({ from: "x" }, "INVALID_ENTRY_ID");
  await refused({ from: 5 }, "INVALID_ENTRY_ID");
  await refused({ visibilitySeconds: 0.09 }, "INVALID_TTL");
  await refused({ visibilitySeconds: 604_801 }, "INVALID_TTL");
  await refused({ maxDeliveries: -1 }, "INVALID_LIMIT");
  await refused({ maxDeliveries: 1001 }, "INVALID_LIMIT");
  await refused({ start: "$" }, "INVALID_OPTIONS");
  expect(() => streams.group(7 as never, "c")).toThrow("group is not a string");
  expect(await streams.info("bad")).toBeNull();
  const raw = new Raw(s.address);
  const { ensureGroup } = Streams.method;
  const reply = (request: object) =>
    raw.call(ensureGroup, { stream: "bad", group: "g", ...request });
  expect(await reply({ start: 2, afterId: "1-0" })).toMatchObject({ reason: "INVALID_OPTIONS" });
  expect(await reply({ start: 9 })).toMatchObject({ reason: "INVALID_OPTIONS" });
  raw.close();
  for (let n = 0; n < 100; n++) await streams.group(`${n}`, "c").ensure("many");
  await streams.group("5", "c").ensure("many");
  await expect(streams.group("100", "c").ensure("many")).rejects.toMatchObject({
    code: "QUOTA_EXCEEDED",
    details: { quota: "groups", limit: "100" },
  });
});

import { expect, it } from "vitest";
import type { Claim } from "../../client/index.js";
import { serve } from "../support/server.js";
import { dataOf, fill, groupWith } from "../support/streams.js";

const s = serve({ sweepSeconds: 0.2 });

it("deletes the stream at once, and what it had with the next sweeps", async () => {
  const { streams } = s.cortex;
  const group = await groupWith(s.cortex, "a", 0);
  for (let i = 0; i < 3; i++) await fill(s.cortex, "a", 1000);
  await group.read("a", { count: 500 });
  expect(await streams.delete("a")).toEqual({ deleted: true, entries: 3000 });
  expect(await streams.delete("a")).toEqual({ deleted: false, entries: 0 });
  expect(await streams.info("a")).toBeNull();
  expect((await streams.range("a")).entries).toEqual([]);
  await expect(group.read("a")).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  await streams.append("a", "new", { id: "1-0" }); // a new stream, whose ids begin anew
  await group.ensure("a");
  expect(dataOf(await group.read("a"))).toEqual(["new"]);
  const rows = async () =>
    (
      await s.sql`
      select (select count(*)::int from stream_entry) as entries, (select count(*)::int from stream_pending) as pending,
        (select count(*)::int from stream_remains) as remains`
    )[0];
  await expect.poll(rows, { timeout: 10_000 }).toEqual({ entries: 1, pending: 1, remains: 0 });
  const { records } = await s.cortex.immutable.list({ type: "$cortex/audit" });
  expect(records.map(({ data }) => data)).toContainEqual({
    action: "Streams.Delete",
    asked: { stream: "a" },
    deleted: { streams: 1, entries: 3000 },
  });
});

it("is done once under its request id, and only under a claim that is held", async () => {
  const { claims, streams } = s.cortex;
  await fill(s.cortex, "once", 2);
  const options = { requestId: "delete-1" };
  expect(await streams.delete("once", options)).toEqual({ deleted: true, entries: 2 });
  await fill(s.cortex, "once", 1);
  expect(await streams.delete("once", options)).toEqual({ deleted: true, entries: 2 });
  expect(await streams.info("once")).toMatchObject({ length: 1 });
  const claim = (await claims.acquire("deleter", { ttlSeconds: 60 })) as Claim;
  await claim.release();
  await expect(claim.streams.delete("once")).rejects.toMatchObject({ code: "FENCE_STALE" });
  await expect(streams.delete(" ")).rejects.toMatchObject({ code: "INVALID_STREAM" });
});

it("beside those who create groups leaves no group behind", async () => {
  const another = s.client({ address: (await s.another()).address });
  for (let round = 0; round < 20; round++) {
    const ensures = [s.cortex, another, s.cortex].map((cortex, n) =>
      cortex.streams.group(`g${n}`, "c").ensure("ensured"),
    );
    await Promise.all([...ensures, s.cortex.streams.delete("ensured")]);
  }
  const left = await s.sql`
    select from stream_group g where not exists (select from stream s where s.id = g.stream_id)`;
  expect(left).toHaveLength(0);
});

it("beside appends and reads loses nothing that is appended after it", async () => {
  const { streams } = s.cortex;
  const group = streams.group("g", "c");
  for (let round = 0; round < 10; round++) {
    await group.ensure("race");
    const appends = Array.from({ length: 20 }, (_, n) => streams.append("race", n));
    const reading = group.read("race", { count: 5 }).catch(() => []);
    const deleted = await streams.delete("race");
    await Promise.all([...appends, reading]);
    const { length = 0 } = (await streams.info("race")) ?? {};
    expect(deleted.entries + length).toBe(20);
    await streams.delete("race");
  }
});

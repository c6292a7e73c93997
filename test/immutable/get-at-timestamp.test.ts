import { expect, it } from "vitest";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { Retention } from "../../server/config/retention.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({ retention: new Retention(20, new Map([["few", 2]])) });
const at = async (type: string, time: number) =>
  (await s.cortex.immutable.getAtTimestamp(type, "a", new Date(time)))?.version ?? null;

it("gives the version that was current, its own instant included; null before the first", async () => {
  const times: number[] = [];
  for (let n = 1; n <= 4; n++)
    times.push(
      (await s.cortex.immutable.store({ type: "t", id: "a", data: { n } })).createdAt.getTime(),
    );
  for (const [i, time] of times.entries()) {
    expect(await at("t", time)).toBe(i + 1);
    expect(await at("t", time - 1)).toBe(i === 0 ? null : i);
    expect(await at("t", time + 1)).toBe(times[i + 1] === time + 1 ? i + 2 : i + 1);
  }
  expect(await at("t", Date.parse("9999-12-31"))).toBe(4);
  expect(await at("t", 0)).toBeNull();
  expect(await at("none", Date.now())).toBeNull();
});

it("is null if retention deleted the version, never a neighbour of it", async () => {
  const times: number[] = [];
  for (let n = 1; n <= 4; n++)
    times.push(
      (await s.cortex.immutable.store({ type: "few", id: "a", data: { n } })).createdAt.getTime(),
    );
  expect(await Promise.all(times.map((time) => at("few", time)))).toEqual([null, null, 3, 4]);
  expect(await at("few", (times[2] as number) - 1)).toBeNull();
});

it("a fraction of a millisecond after belongs to the version of that millisecond", async () => {
  const { createdAt } = await s.cortex.immutable.store({ type: "raw", id: "a", data: {} });
  const raw = new Raw(s.address);
  const ms = createdAt.getTime();
  const time = { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
  const ask = (nanos: number) =>
    raw.call(ImmutableStore.method.getAtTimestamp, {
      type: "raw",
      id: "a",
      time: { seconds: time.seconds, nanos: time.nanos + nanos } as never,
    });
  expect(await ask(999_999)).toMatchObject({ version: { version: 1 } });
  expect(await ask(-1)).not.toHaveProperty("version.version");
  raw.close();
});

it("refuses an invalid time", async () => {
  for (const time of [new Date(Number.NaN), "2025-01-01", undefined, 5])
    await expect(s.cortex.immutable.getAtTimestamp("t", "a", time as Date)).toFailWith(
      "INVALID_TIME",
      { field: "timestamp" },
    );
  await expect(s.cortex.immutable.getAtTimestamp("t", "a", new Date(8.64e15))).toFailWith(
    "INVALID_TIME",
  );
  const raw = new Raw(s.address);
  const { getAtTimestamp } = ImmutableStore.method;
  for (const time of [undefined, { seconds: 0n, nanos: -1 }, { seconds: 1n << 40n, nanos: 0 }])
    expect(
      await raw.call(getAtTimestamp, { type: "t", id: "a", ...(time && { time: time as never }) }),
    ).toMatchObject({ status: 3, reason: "INVALID_TIME" });
  raw.close();
});

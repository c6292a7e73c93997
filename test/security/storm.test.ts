// Opens many connections, with readers that read nothing and callers who give up after 1 to 3 ms. Normal
// calls still succeed, and afterwards no connection of Postgres is busy and no lock is held. (npm run bench
// measures how fast calls are during such a storm.)
import { setTimeout as pause } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { framed, Session } from "../support/frames.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";
import { Stalled } from "../support/stalled.js";

const connections = Number(process.env.STORM_CONNECTIONS ?? 200);
const readers = Number(process.env.STORM_READERS ?? 20);
const rounds = Number(process.env.STORM_ROUNDS ?? 5);

const s = serve({ poolSize: 10, stallSeconds: 600 });

it(`${connections} connections, ${readers} stalled readers, storms of deadlines`, async () => {
  const { mutable } = s.cortex;
  const entries = Array.from({ length: 100 }, (_, i) => [`k${i}`, "x".repeat(10_000)]);
  await mutable.setMany("storm", Object.fromEntries(entries));
  const exists = framed(Buffer.from("0a0573746f726d12026b31", "hex")); // namespace "storm", key "k1"
  const idle = Array.from({ length: connections }, () => new Session(s.address));
  const path = `/${MutableStore.typeName}/Exists`;
  for (let i = 0; i < idle.length; i += 100)
    for (const { grpc } of await Promise.all(
      idle.slice(i, i + 100).map((one) => one.send(path, {}, exists)),
    ))
      expect(grpc).toBe("0");
  const stalled = Array.from({ length: readers }, () => new Stalled(s.address, "List", "storm"));
  await Promise.all(stalled.map((reader) => reader.begun));
  let acknowledged = 0;
  for (let round = 0; round < rounds; round++) {
    const raw = new Raw(s.address); // a new connection: HTTP/2 in Node closes one after a thousand resets
    const operation = { case: "increment" as const, value: {} };
    const calls = Array.from({ length: 150 }, (_, i) => {
      const deadline = new Date(Date.now() + 1 + (i % 3));
      return i % 2
        ? raw.call(
            MutableStore.method.update,
            { namespace: "storm-n", key: `n${i % 10}`, operation, createIfMissing: true },
            {},
            { deadline },
          )
        : raw.call(MutableStore.method.count, { namespace: "storm" }, {}, { deadline });
    });
    for (const outcome of await Promise.all(calls))
      if ("record" in outcome) acknowledged++;
      else if ("status" in outcome)
        expect([status.DEADLINE_EXCEEDED, status.UNAVAILABLE]).toContain(outcome.status);
    raw.close();
    // Normal calls succeed.
    expect(await mutable.get("storm", "k1")).toHaveLength(10_000);
    await mutable.increment("storm-n", "calm", 1, { createIfMissing: true });
  }
  let counted = 0;
  for await (const { value } of mutable.scan("storm-n")) counted += value as number;
  expect(counted).toBeGreaterThanOrEqual(acknowledged + rounds);
  expect(await mutable.get("storm-n", "calm")).toBe(rounds);
  // The server's own statements come and go. Something that a call left behind would stay.
  const expectNoneLeft = async (rows: () => PromiseLike<readonly unknown[]>) => {
    let left = await rows();
    for (let i = 0; i < 100 && left.length > 0; i++) {
      await pause(50);
      left = await rows();
    }
    expect(left).toEqual([]);
  };
  await expectNoneLeft(
    () => s.sql`
      select state, query from pg_stat_activity
      where application_name = 'cortex-store' and datname = current_database() and state <> 'idle'`,
  );
  await expectNoneLeft(
    () => s.sql`
      select l.locktype, l.mode from pg_locks l join pg_stat_activity a using (pid)
      where a.application_name = 'cortex-store' and a.datname = current_database() and l.locktype <> 'virtualxid'`,
  );
  for (const one of [...idle, ...stalled]) one.close();
}, 600_000);

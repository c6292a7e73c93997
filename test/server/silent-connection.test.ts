// A connection to the database that is open but silent: what is sent over it is never answered. It stops nobody
// for more than some seconds.
import { setTimeout as pause } from "node:timers/promises";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Users } from "../../gen/cortex/users/v1/users_pb.js";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { defaults } from "../../server/config/config.js";
import { type Running, start } from "../../server/start.js";
import { type Proxy as DatabaseProxy, proxyToPostgres } from "../support/proxy.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve, testLog } from "../support/server.js";

const s = serve();

/** A server whose connections to the database can be frozen. */
async function frozenServer(work: (server: Frozen) => Promise<void>): Promise<void> {
  const { proxy, url } = await proxyToPostgres(s.databaseUrl);
  const config = {
    ...defaults,
    listen: "127.0.0.1:0",
    drainSeconds: 1,
    poolSize: 4,
    queueMax: 500,
  };
  const running = await start(config, url, testLog);
  const cortex = new Cortex({ address: running.address, timeoutMs: 20_000 });
  const raw = new Raw(running.address);
  try {
    await work({ proxy, running, cortex, raw });
  } finally {
    raw.close();
    await cortex.close();
    await running.stop();
    proxy.close();
  }
}
interface Frozen {
  proxy: DatabaseProxy;
  running: Running;
  cortex: Cortex;
  raw: Raw;
}

const entry = { namespace: "frozen", key: "k" };
const record = { type: "frozen", id: "i" };
const requests: [string, DescMethodUnary, object][] = [
  ["Set", MutableStore.method.set, { ...entry, valueJson: "1" }],
  ["Get", MutableStore.method.get, entry],
  ["GetRecord", MutableStore.method.getRecord, entry],
  ["Count", MutableStore.method.count, { namespace: "frozen" }],
  ["PurgeNamespace", MutableStore.method.purgeNamespace, { namespace: "frozen-purged" }],
  [
    "Commit",
    MutableStore.method.commit,
    {
      operations: [{ operation: { case: "store", value: { ...record, dataJson: "{}" } } }],
    },
  ],
  ["Store", ImmutableStore.method.store, { ...record, dataJson: "{}" }],
  ["Search", ImmutableStore.method.search, { query: "word" }],
  ["Users.Upsert", Users.method.upsert, { id: "frozen" }],
];

const healthOf = async (raw: Raw) => {
  const reply = await raw.call(Health.method.check, {});
  return "reason" in reply ? undefined : (reply as { status: number }).status;
};
const serving = 1;
const notServing = 2;

describe("after the open connections went silent", () => {
  it("calls of each kind are answered again within seconds, over fresh connections", async () => {
    await frozenServer(async ({ proxy, raw }) => {
      // Every pool has opened connections.
      for (const [name, method, request] of requests)
        expect([name, await raw.call(method, request as never)]).not.toHaveProperty("1.reason");
      proxy.freeze();
      const frozenAt = performance.now();
      const answered = async (method: DescMethodUnary, request: object) => {
        for (;;) {
          const reply = await raw.call(
            method,
            request as never,
            {},
            {
              deadline: new Date(Date.now() + 2500),
            },
          );
          if (!("reason" in reply)) return performance.now() - frozenAt;
          expect(["DATABASE_UNAVAILABLE", "DEADLINE_EXCEEDED"]).toContain(reply.reason);
        }
      };
      const times = await Promise.all(
        requests.map(
          async ([name, method, request]) => [name, await answered(method, request)] as const,
        ),
      );
      for (const [name, ms] of times) expect([name, ms < 8000]).toEqual([name, true]);
      expect(await healthOf(raw)).toBe(serving);
    });
  });

  it("the client notices nothing; what it writes is written once", async () => {
    await frozenServer(async ({ proxy, cortex }) => {
      await cortex.mutable.set("frozen", "n", 0);
      proxy.freeze();
      await Promise.all(Array.from({ length: 50 }, () => cortex.mutable.increment("frozen", "n")));
      expect(await cortex.mutable.get("frozen", "n")).toBe(50);
    });
  });

  it("a transaction fails as not applied, and its locks do not outlive it", async () => {
    await frozenServer(async ({ proxy, running, cortex }) => {
      await cortex.mutable.set("frozen", "held", 0);
      const t = new RawTransaction(running.address);
      await t.ask({ case: "begin", value: {} });
      const held = { namespace: "frozen", key: "held" };
      await t.ask({ case: "read", value: { keys: [held] } });
      proxy.freeze();
      await expect(
        t.ask({ case: "read", value: { keys: [{ namespace: "frozen", key: "more" }] } }),
      ).rejects.toMatchObject({ reason: "DATABASE_UNAVAILABLE", details: { applied: "no" } });
      t.close();
      expect((await cortex.mutable.increment("frozen", "held", 1, { timeoutMs: 8000 })).value).toBe(
        1,
      );
    });
  });
});

describe("while the database is silent", () => {
  it("calls end with their deadline and leave the queue; health says so, and is back by itself", async () => {
    await frozenServer(async ({ proxy, raw }) => {
      await raw.call(MutableStore.method.set, { ...entry, valueJson: "1" });
      expect(await healthOf(raw)).toBe(serving);
      proxy.freeze(true);
      for (let round = 0; round < 3; round++) {
        const replies = await Promise.all(
          Array.from({ length: 300 }, (_, i) =>
            raw.call(
              MutableStore.method.set,
              { ...entry, key: `k${i}`, valueJson: "1" },
              {},
              { deadline: new Date(Date.now() + 1000) },
            ),
          ),
        );
        // More calls have come than the queue takes, but never at once: none is refused.
        const statuses = new Set(replies.map((reply) => ("status" in reply ? reply.status : 0)));
        for (const status of statuses) expect([4, 14]).toContain(status); // DEADLINE_EXCEEDED, UNAVAILABLE
      }
      await expect.poll(() => healthOf(raw), { timeout: 10_000 }).toBe(notServing);
      proxy.thaw();
      await expect.poll(() => healthOf(raw), { timeout: 10_000 }).toBe(serving);
      const reply = await raw.call(MutableStore.method.set, { ...entry, valueJson: "2" });
      expect(reply).not.toHaveProperty("reason");
    });
  });

  it("the server stops", async () => {
    const { proxy, url } = await proxyToPostgres(s.databaseUrl);
    const config = { ...defaults, listen: "127.0.0.1:0", drainSeconds: 1 };
    const running = await start(config, url, testLog);
    const raw = new Raw(running.address);
    await raw.call(MutableStore.method.set, { ...entry, valueJson: "1" });
    await raw.call(MutableStore.method.get, entry); // an access to be counted
    proxy.freeze(true);
    const pending = requests.map(([, method, request]) => raw.call(method, request as never));
    await pause(100);
    const startedAt = performance.now();
    await running.stop();
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    raw.close();
    await Promise.all(pending);
    proxy.close();
  });
});

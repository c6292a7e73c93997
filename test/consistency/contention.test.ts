// Many callers write few keys: no write is lost or applied twice, no caller starves, and other keys are not
// slowed down.
import { createServer, connect as dial, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Cortex } from "../../client/index.js";
import { random } from "../support/linearize.js";
import { cleanEnvironment, root, run } from "../support/process.js";
import { RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const rounds = Number(process.env.CONTENTION_ROUNDS ?? 2);
const campaign = process.env.CONTENTION_ROUNDS !== undefined;
const s = serve();
const clientsMax = 64;
const patience = { timeoutMs: 600_000 };
const clients = (n: number) => Array.from({ length: n }, () => s.client(patience));
const closed = (all: Cortex[]) => Promise.all(all.map((client) => client.close()));
const transact = { timeoutMs: 600_000, maxAttempts: 1000 };

describe(`${clientsMax} clients on one key, ${rounds} times each`, () => {
  it.each<[string, (client: Cortex, key: string) => Promise<unknown>]>([
    ["update(fn)", ({ mutable }, key) => mutable.update<number>("hot", key, (n) => n + 1)],
    ["increment", ({ mutable }, key) => mutable.increment("hot", key)],
    [
      "transaction",
      ({ mutable }, key) =>
        mutable.transaction((tx) => tx.update("hot", key, (n) => n + 1), transact),
    ],
  ])("by %s: none is lost, and no call fails", async (name, work) => {
    await s.cortex.mutable.set("hot", name, 0);
    const all = clients(clientsMax);
    await Promise.all(
      all.map(async (client) => {
        for (let i = 0; i < rounds; i++) await work(client, name);
      }),
    );
    expect(await s.cortex.mutable.get("hot", name)).toBe(clientsMax * rounds);
    await closed(all);
  });

  it("by raw Commit from another process", async () => {
    await s.cortex.mutable.set("hot", "commit", 0);
    const args = [s.address, "hot", "commit", `${clientsMax}`, `${rounds}`];
    const script = join(root, "test/support/committer.ts");
    const { code, err } = await run(process.execPath, ["--import", "tsx", script, ...args], {
      env: cleanEnvironment(),
    });
    expect([code, err]).toEqual([0, ""]);
    expect(await s.cortex.mutable.get("hot", "commit")).toBe(clientsMax * rounds);
  });
});

it("transfers among 8 accounts: every sum that a reader sees is the same, and nobody starves", async () => {
  const accounts = Array.from({ length: 8 }, (_, i) => `account-${i}`);
  await s.cortex.mutable.setMany("bank", Object.fromEntries(accounts.map((key) => [key, 100])));
  const all = clients(32);
  const took: number[] = [];
  let moving = true;
  const sums: number[] = [];
  const readers = clients(2).map(async ({ mutable }) => {
    while (moving || sums.length < 10) {
      let sum = 0;
      await mutable.transaction((tx) => {
        sum = accounts.reduce((total, key) => total + (tx.get("bank", key) ?? 0), 0);
      }, transact);
      sums.push(sum);
    }
  });
  await Promise.all(
    all.map(async ({ mutable }, c) => {
      const next = random(c);
      const randomAccount = () => accounts[Math.floor(next() * accounts.length)] as string;
      const start = performance.now();
      for (let i = 0; i < rounds; i++) {
        const [from, to] = [randomAccount(), randomAccount()];
        await mutable.transaction((tx) => {
          tx.update("bank", from, (n) => n - 1);
          tx.update("bank", to, (n) => n + 1);
        }, transact);
      }
      took.push(performance.now() - start);
    }),
  );
  moving = false;
  await Promise.all(readers);
  expect(new Set(sums)).toEqual(new Set([800]));
  const final = await s.cortex.mutable.getMany<number>("bank", accounts);
  expect(final.reduce<number>((sum, n) => sum + (n ?? 0), 0)).toBe(800);
  took.sort((a, b) => a - b);
  const [median = 0, slowest = 0] = [took[took.length >> 1], took.at(-1)];
  if (campaign) {
    console.log(
      `transfers: median ${median | 0} ms, slowest ${slowest | 0} ms, ${sums.length} sums`,
    );
    expect(slowest).toBeLessThan(3 * median);
  }
  await closed(all);
}, 1_800_000);

it("through a proxy that cuts 5 % of the replies: each increment is done once", async () => {
  const [host = "", port = ""] = s.address.split(":");
  const next = random(1);
  const sockets = new Set<Socket>();
  let cuts = 0;
  const proxy = createServer((client) => {
    const server = dial(Number(port), host);
    sockets.add(client).add(server);
    for (const socket of [client, server]) socket.on("error", () => {});
    client.pipe(server);
    let chunks = 0;
    server.on("data", (data) => {
      // (The first chunks open the connection. They are not cut.)
      if (chunks++ > 1 && next() < 0.05) {
        cuts++;
        client.destroy();
        server.destroy();
      } else client.write(data);
    });
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(proxy.address() as { port: number }).port}`;
  const all = Array.from({ length: 20 }, () => s.client({ address, timeoutMs: 60_000 }));
  await s.cortex.mutable.set("cut", "n", 0);
  await Promise.all(
    all.map(async ({ mutable }, c) => {
      for (let i = 0; i < rounds; i++) {
        // If the client's own retries fail, the caller sends the request again under the same id.
        const requestId = `cut-${c}-${i}`;
        for (let done = false; !done; )
          done = await mutable.increment("cut", "n", 1, { requestId }).then(
            () => true,
            () => false,
          );
      }
    }),
  );
  expect(await s.cortex.mutable.get("cut", "n")).toBe(20 * rounds);
  expect(cuts).toBeGreaterThan(0);
  for (const socket of sockets) socket.destroy();
  proxy.close();
}, 1_800_000);

it("a thousand calls that wait for one key hold no connections, and do not slow down other keys", async () => {
  const { mutable } = s.cortex;
  await mutable.setMany("crowd", { held: 0, free: 0 });
  const p50 = async (between: () => Promise<unknown> = async () => {}) => {
    const times: number[] = [];
    for (let i = 0; i < 300; i++) {
      if (i % 20 === 0) await between();
      const start = performance.now();
      if (i % 2) await mutable.get("crowd", "free");
      else await mutable.set("crowd", "free", i);
      times.push(performance.now() - start);
    }
    return times.sort((a, b) => a - b)[150] ?? 0;
  };
  await p50(); // warm-up
  const alone = await p50();
  const holder = new RawTransaction(s.address);
  await holder.ask({ case: "begin", value: {} });
  const keys = [{ namespace: "crowd", key: "held" }];
  await holder.ask({ case: "read", value: { keys } });
  const crowd = s.client({ timeoutMs: 120_000 });
  const waiting = [
    ...Array.from({ length: 900 }, () => crowd.mutable.increment("crowd", "held")),
    ...Array.from({ length: 100 }, () =>
      crowd.mutable.transaction((tx) => tx.update("crowd", "held", (n) => n + 1), {
        timeoutMs: 120_000,
        maxAttempts: 1000,
      }),
    ),
  ];
  const done = Promise.all(waiting);
  done.catch(() => {}); // if the test fails before it waits for them
  await pause(500);
  // A transaction that sends no message for 5 seconds is rolled back.
  const among = await p50(() => holder.ask({ case: "read", value: { keys } }));
  const connections = await s.sql`
    select from pg_stat_activity where datname = current_database() and application_name = 'cortex-store' and state <> 'idle'`;
  // One connection is that of `holder`. Another one may be running a statement.
  expect(connections.length).toBeLessThanOrEqual(2);
  if (campaign) {
    console.log(`p50 alone ${alone.toFixed(2)} ms, beside 1000 who wait ${among.toFixed(2)} ms`);
    expect(among).toBeLessThan(1.5 * alone);
  }
  await holder.ask({ case: "commit", value: {} });
  holder.close();
  await done;
  expect(await mutable.get("crowd", "held")).toBe(1000);
  await crowd.close();
}, 120_000);

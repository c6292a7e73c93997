// Postgres stops and starts again: meanwhile the server answers UNAVAILABLE, and afterwards it works again by
// itself.
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { defaults } from "../../server/config/config.js";
import { type Embedded, startEmbedded } from "../../server/embedded/cluster.js";
import { type Running, start } from "../../server/start.js";
import { temporaryDirectory } from "../support/directory.js";
import { killPostgres } from "../support/kill-postgres.js";
import { testLog } from "../support/server.js";

let directory: string;
let temporary: Awaited<ReturnType<typeof temporaryDirectory>>;
let postgres: Embedded;
let running: Running;
let cortex: Cortex;

beforeAll(async () => {
  temporary = await temporaryDirectory();
  directory = temporary.path;
  postgres = await startEmbedded(directory, testLog);
  running = await start({ ...defaults, listen: "127.0.0.1:0" }, postgres.url, testLog);
  cortex = new Cortex({ address: running.address, timeoutMs: 20_000 });
});
afterAll(async () => {
  await cortex.close();
  await running.stop();
  await postgres.stop();
  await temporary.remove();
});

const quick = { timeoutMs: 1500 };

it("a stopped Postgres is DATABASE_UNAVAILABLE, and one that is back is used", async () => {
  await cortex.mutable.set("ns", "k", 1);
  await cortex.mutable.get("ns", "k");
  await postgres.stop();
  for (const call of [
    () => cortex.mutable.get("ns", "k", quick),
    () => cortex.mutable.set("ns", "k", 2, quick),
    () => cortex.mutable.increment("ns", "k", 1, quick),
    () => cortex.mutable.list("ns", {}, quick),
  ])
    await expect(call()).toFailWith("DATABASE_UNAVAILABLE");
  postgres = await startEmbedded(directory, testLog);
  // The client retries a write that certainly was not applied. So once Postgres is back, no call fails.
  expect((await cortex.mutable.increment("ns", "k")).value).toBe(2);
  expect((await cortex.mutable.getRecord("ns", "k"))?.accessCount).toBe(1);
});

it("a killed embedded Postgres is started again, and nothing acknowledged is lost", async () => {
  await cortex.mutable.set("kill", "n", 0);
  let acknowledged = 0;
  let killed = false;
  const writers = Array.from({ length: 8 }, async () => {
    for (let i = 0; i < 60; i++) {
      await cortex.mutable.increment("kill", "n").then(
        () => acknowledged++,
        () => pause(20),
      );
      if (acknowledged > 100 && !killed) {
        killed = true;
        await killPostgres(directory);
      }
    }
  });
  await Promise.all(writers);
  expect(killed).toBe(true);
  let value = -1;
  while (value < 0)
    value = await cortex.mutable.get("kill", "n", quick).then(
      (n) => n ?? -1,
      () => -1,
    );
  expect(value).toBeGreaterThanOrEqual(acknowledged);
  expect(value).toBeLessThanOrEqual(480);
}, 60_000);

it("a database that does not answer at the start is said in one sentence", async () => {
  const url = "postgres://nobody@127.0.0.1:1/nothing";
  const config = { ...defaults, listen: "127.0.0.1:0", databaseWaitSeconds: 0 };
  await expect(start(config, url, testLog)).rejects.toThrow(
    "no Postgres answers at 127.0.0.1:1 (ECONNREFUSED): check that it runs and listens there",
  );
});

// The lane to Postgres: what one call does to its connection is nothing to the next.
import { createServer, connect as dial, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { serve } from "../support/server.js";
import { tenantPool } from "../support/tenant-pool.js";

const s = serve();

it("a statement that fails after its first rows leaves the next result whole", async () => {
  const pool = tenantPool(s.databaseUrl, 1);
  const run = pool.run();
  for (let round = 0; round < 3; round++) {
    await expect(
      run((sql) => sql`select 1 / (5 - i) from generate_series(1, 10) i`),
    ).rejects.toMatchObject({ code: "22012" });
    expect(await run((sql) => sql`select 42 as answer`)).toEqual([{ answer: 42 }]);
  }
  await pool.close();
});

it("calls that are cut off while rows come change nothing for the calls after them", async () => {
  await s.cortex.mutable.setMany(
    "rows",
    Array.from({ length: 300 }, (_, i) => ({ key: `k${i}`, value: "x".repeat(10_000) })),
  );
  await s.cortex.mutable.set("rows", "n", 0);
  let expected = 0;
  for (let round = 0; round < 6; round++) {
    const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
    // Each round on a connection of its own: HTTP/2 in Node closes one with a thousand resets.
    const { mutable } = s.client();
    const hasty = () => ({ timeoutMs: 1 + Math.random() * 300 });
    await Promise.allSettled(
      Array.from({ length: 200 }, (_, i) =>
        i % 2
          ? mutable.getMany("rows", keys, hasty())
          : mutable.list("rows", { limit: 300 }, hasty()),
      ),
    );
    const probes = await Promise.all(
      Array.from({ length: 20 }, () => s.cortex.mutable.increment("rows", "n")),
    );
    expected += probes.length;
    expect(await s.cortex.mutable.get("rows", "n")).toBe(expected);
    expect(await s.cortex.mutable.count("rows")).toBe(301);
  }
}, 120_000);

it("a cancel that cannot connect harms nobody", async () => {
  const parsed = new URL(s.databaseUrl);
  const directory = parsed.searchParams.get("host");
  const sockets = new Set<Socket>();
  const proxy = createServer((client) => {
    const server = directory
      ? dial(join(directory, `.s.PGSQL.${parsed.port || 5432}`))
      : dial(Number(parsed.port || 5432), parsed.hostname);
    sockets.add(client).add(server);
    for (const socket of [client, server]) socket.on("error", () => {});
    client.pipe(server).pipe(client);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const proxied = new URL(parsed);
  proxied.searchParams.delete("host");
  proxied.hostname = "127.0.0.1";
  proxied.port = `${(proxy.address() as { port: number }).port}`;
  const pool = tenantPool(proxied.href, 2);
  await pool.run()((sql) => sql`select 1`);
  const controller = new AbortController();
  const sleeping = pool.run("", controller.signal)((sql) => sql`select pg_sleep(1)`);
  await pause(100);
  proxy.close(); // what is connected stays connected
  controller.abort();
  await sleeping.catch(() => {}); // it ends by itself: a rejection nobody handles would have failed this file
  for (const socket of sockets) socket.destroy();
  await pool.close();
});

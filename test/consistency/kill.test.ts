// Kills the server or Postgres (kill -9) during increments and stores with request ids, alone and in
// transactions. No acknowledged write is lost, no write is applied twice, and the writes of a transaction are
// applied together.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { temporaryDirectory } from "../support/directory.js";
import { killPostgres } from "../support/kill-postgres.js";
import { freePort, type ServerProcess, spawnServer } from "../support/process.js";

const serverKills = Number(process.env.SERVER_KILLS ?? 2);
const postgresKills = Number(process.env.POSTGRES_KILLS ?? 1);
const clientsMax = 32;

let temporary: Awaited<ReturnType<typeof temporaryDirectory>>;
let server: ServerProcess;
let listen: string;
const start = async () => {
  // The killed server may still occupy its port or its Postgres for a moment.
  for (let attempt = 0; ; attempt++)
    try {
      server = await spawnServer([
        ...["--listen", listen, "--data-dir", temporary.path],
        ...["--retention", '{"defaultVersions":-1}'],
      ]);
      return;
    } catch (error) {
      if (attempt === 10) throw error;
      await pause(300);
    }
};

beforeAll(async () => {
  temporary = await temporaryDirectory();
  listen = `127.0.0.1:${await freePort()}`;
  await start();
});
afterAll(async () => {
  await server.end();
  await temporary.remove();
});

it.each([
  ["the server", serverKills, killServer],
  ["Postgres", postgresKills, killAndAwaitPostgres],
] as const)(
  "kill -9 of %s, %i times: each counter and each record's versions are what was acknowledged",
  async (name, kills, kill) => {
    const clients = Array.from(
      { length: clientsMax },
      () => new Cortex({ address: listen, timeoutMs: 5000 }),
    );
    const counters = Array.from({ length: 4 }, (_, i) => `${name}-${i}`);
    for (const key of counters) await clients[0]?.mutable.set("kill", key, 0);
    const zeros = () => new Map(counters.map((key) => [key, 0]));
    const [increments, stores] = [zeros(), zeros()];
    const count = (of: Map<string, number>, key: string) => of.set(key, (of.get(key) ?? 0) + 1);
    let unsure = 0;
    let going = true;
    // A watch of the counters goes on by itself: their values only rise, and the last ones come.
    const watched = new Map<string, number>();
    const fallen: string[] = [];
    const watching = new AbortController();
    const watcher = new Cortex({ address: listen });
    const watch = (async () => {
      const options = { includeCurrent: true, signal: watching.signal, timeoutMs: 120_000 };
      for await (const { key, value } of watcher.mutable.watch<number>("kill", options)) {
        if (!counters.includes(key)) continue;
        if (value === undefined || value <= (watched.get(key) ?? -1))
          fallen.push(`${key} ${value}`);
        watched.set(key, value ?? 0);
      }
    })().catch((error) => {
      if (!watching.signal.aborted) throw error;
    });
    const writers = clients.map(async ({ mutable, immutable }, c) => {
      const key = counters[c % counters.length] as string;
      const version = { type: "kill", id: key, data: { c } };
      const kind = Math.floor(c / counters.length) % 3;
      for (let i = 0; going; i++) {
        const options = { requestId: `${name}-${c}-${i}` };
        const write = () =>
          kind === 0
            ? mutable.increment("kill", key, 1, options)
            : kind === 1
              ? immutable.store(version, { ...options, includeHistory: false })
              : mutable.transaction(
                  [
                    { op: "increment", namespace: "kill", key },
                    { op: "store", ...version },
                  ],
                  options,
                );
        // Repeats the write until it is acknowledged. This is safe, because the request id stays the same.
        for (let done = false; !done; )
          done = await write().then(
            () => true,
            () => {
              unsure++;
              return false;
            },
          );
        if (kind !== 1) count(increments, key);
        if (kind !== 0) count(stores, key);
      }
    });
    for (let i = 0; i < kills; i++) {
      await pause(300 + Math.random() * 500);
      await kill();
    }
    await pause(300);
    going = false;
    await Promise.all(writers);
    const values = await clients[0]?.mutable.getMany("kill", counters, { timeoutMs: 20_000 });
    expect(values).toEqual(counters.map((key) => increments.get(key)));
    for (
      let left = 100;
      left > 0 && counters.some((key) => watched.get(key) !== increments.get(key));
      left--
    )
      await pause(100);
    expect(watched).toEqual(increments);
    expect(fallen).toEqual([]);
    watching.abort();
    await watch;
    await watcher.close();
    for (const key of counters)
      expect(await clients[0]?.immutable.verifyHistory("kill", key)).toMatchObject({
        valid: true,
        currentVersion: stores.get(key),
        versions: stores.get(key),
      });
    console.log(
      `${name}: ${kills} kills, counters ${values?.join(" ")}, versions ${[...stores.values()].join(" ")}, ${unsure} calls asked again`,
    );
    await Promise.all(clients.map((client) => client.close()));
  },
  1_800_000,
);

async function killServer(): Promise<void> {
  server.child.kill("SIGKILL");
  await start();
}

/** Kills Postgres, and waits until the server has started it again. */
async function killAndAwaitPostgres(): Promise<void> {
  const file = join(temporary.path, "postgres", "postmaster.pid");
  const pid = await killPostgres(temporary.path);
  for (let back = 0; back === 0 || back === pid; await pause(50))
    back = Number.parseInt(await readFile(file, "utf8").catch(() => `${pid}`), 10);
}

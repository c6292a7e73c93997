// Faults at random, while three tenants work on two servers: silent connections, kill -9 of a server and of
// Postgres, lock storms, large values. Every acknowledged write is there once; nobody whom a fault does not
// concern waits long; memory stays flat; health tells the truth.
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { Health, HealthCheckResponse_ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import { type Embedded, startEmbedded } from "../../server/embedded/cluster.js";
import { temporaryDirectory } from "../support/directory.js";
import { killPostgres } from "../support/kill-postgres.js";
import { type ServerProcess, spawnServer } from "../support/process.js";
import { proxyToPostgres } from "../support/proxy.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { testLog } from "../support/server.js";

const seconds = Number(process.env.LIVENESS_SECONDS ?? 12);
const faultMs = 4000; // from one fault to the next
const waitMsMax = 5000; // for whom a fault does not concern

let temporary: Awaited<ReturnType<typeof temporaryDirectory>>;
let postgres: Embedded;
let proxy: Awaited<ReturnType<typeof proxyToPostgres>>["proxy"];
let server: ServerProcess;
let another: ServerProcess;
const startAnother = async () => {
  another = await spawnServer(["--database-url", postgres.url, "--log-level", "error"]);
};

beforeAll(async () => {
  temporary = await temporaryDirectory();
  postgres = await startEmbedded(temporary.path, testLog, 200);
  const proxied = await proxyToPostgres(postgres.url);
  proxy = proxied.proxy;
  server = await spawnServer(["--database-url", proxied.url, "--log-level", "error"]);
  await startAnother();
});
afterAll(async () => {
  for (const one of [server, another]) await one.end();
  proxy.close();
  await postgres.stop();
  await temporary.remove();
});

const residentMb = () => {
  const pages = readFileSync(`/proc/${server.child.pid}/statm`, "utf8").split(" ")[1];
  return (Number(pages) * 4096) / 2 ** 20;
};

it(
  "whatever fails, what was acknowledged is there, and others go on",
  async () => {
    const end = performance.now() + seconds * 1000;
    const going = () => performance.now() < end;
    const clients: Cortex[] = [];
    const client = (tenantId: string) => {
      const made = new Cortex({ address: server.address, tenantId, timeoutMs: 30_000 });
      clients.push(made);
      return made;
    };
    let broken = 0; // until when the database is away for all
    let longest = 0; // the longest call of the quiet tenant, while it was not

    // Every increment is repeated under its request id until it is acknowledged, so each is there once.
    const acknowledged = new Map<string, number>();
    const counting = ["quiet", "storming", "large"].flatMap((tenant) =>
      [0, 1, 2, 3].map(async (c) => {
        const { mutable } = client(tenant);
        const key = `counter-${c}`;
        for (let i = 0; going(); i++) {
          const startedAt = performance.now();
          const requestId = `${tenant}-${c}-${i}`;
          const increment = () =>
            mutable.increment("ns", key, 1, { createIfMissing: true, requestId });
          while (
            !(await increment().then(
              () => true,
              () => false,
            ))
          )
            await pause(20);
          acknowledged.set(`${tenant} ${key}`, i + 1);
          if (tenant === "quiet" && startedAt > broken)
            longest = Math.max(longest, performance.now() - startedAt);
          await pause(5);
        }
      }),
    );
    const merging = [0, 1].map(async (i) => {
      const { mutable } = client("large");
      const value = { text: "x".repeat(500_000) };
      while (going()) {
        await mutable.set("ns", `large-${i}`, value).catch(() => {});
        for (let n = 0; n < 5 && going(); n++)
          await mutable.merge("ns", `large-${i}`, { n }).catch(() => {});
      }
    });

    /** The database is away for everybody until now and a little longer. */
    const away = (ms: number) => {
      broken = performance.now() + ms;
    };
    const faults: (() => Promise<void>)[] = [
      async () => {
        away(waitMsMax);
        proxy.freeze();
      },
      async () => {
        await another.end("SIGKILL");
        await startAnother();
      },
      async () => {
        const holder = new RawTransaction(another.address, { "x-tenant-id": "storming" });
        const keys = Array.from({ length: 300 }, (_, i) => `storm-${i}`);
        await holder.ask({ case: "begin", value: {} });
        const read = keys.map((key) => ({ namespace: "ns", key }));
        await holder.ask({ case: "read", value: { keys: read } });
        const { mutable } = client("storming");
        const sets = keys.map((key) => mutable.set("ns", key, 1).catch(() => {}));
        await pause(faultMs / 2);
        await holder.ask({ case: "commit", value: {} });
        holder.close();
        await Promise.all(sets);
      },
      async () => {
        away(15_000); // Postgres recovers first
        await killPostgres(temporary.path);
      },
    ];
    let memory = 0;
    for (let n = 0; going(); n++) {
      if (n === 2) memory = residentMb();
      // In turn at first, so that a short run has the first three, then at random.
      const fault = faults[n < 3 ? n : Math.floor(Math.random() * faults.length)];
      await Promise.all([fault?.().catch(() => {}), pause(faultMs)]);
    }
    await Promise.all([...counting, ...merging]);

    for (const [name, count] of acknowledged) {
      const [tenant = "", key = ""] = name.split(" ");
      expect([name, await client(tenant).mutable.get("ns", key)]).toEqual([name, count]);
    }
    expect(Math.min(...acknowledged.values())).toBeGreaterThan(seconds);
    expect(longest).toBeLessThan(waitMsMax);
    expect(residentMb()).toBeLessThan(memory * 1.5 + 150);
    const raw = new Raw(server.address);
    expect(await raw.call(Health.method.check, {})).toMatchObject({
      status: HealthCheckResponse_ServingStatus.SERVING,
    });
    raw.close();
    for (const one of clients) await one.close();
  },
  (seconds + 120) * 1000,
);

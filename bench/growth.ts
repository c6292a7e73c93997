// How the cost of a call grows: with keys, with tenants, with the size of values and with connections.
import { create, type DescMethod, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { MutableStore } from "../gen/cortex/mutable/v1/mutable_pb.js";
import { inFlight } from "./calls.js";
import { Load } from "./load.js";
import type { Meter, Subject } from "./meter.js";
import { fill } from "./pages.js";
import { type Server, serverOn } from "./process.js";

const manyKeys = 5_000_000;
const fewKeys = 1000;
const { get, set, list } = MutableStore.method;

const bytesOf = <M extends DescMethod>(method: M, init: MessageInitShape<M["input"]>) =>
  toBinary(method.input, create(method.input, init) as never);
const path = (method: DescMethod) => `/${MutableStore.typeName}/${method.name}`;
const textOf = (bytes: number) => JSON.stringify({ text: "x".repeat(bytes - 11) });

export async function growth(meter: Meter, url: string): Promise<void> {
  const retention = ["--watch-retention", "0"];
  const few = await serverOn(url, "few_keys", retention);
  const many = await serverOn(url, "many_keys", retention);
  await keys(meter, few, many);
  await many.stop();
  await tenants(meter, few);
  await values(meter, few);
  await connections(meter, few);
  await few.stop();
}

async function keys(meter: Meter, few: Server, many: Server): Promise<void> {
  const sizes = [
    { name: `among ${fewKeys} keys`, server: few, keys: fewKeys },
    { name: `among ${manyKeys} keys`, server: many, keys: manyKeys },
  ];
  for (const { server, keys } of sizes) {
    for (let from = 0; from < keys; from += 250_000)
      await fill(server.sql, "grown", Math.min(250_000, keys), from);
    await server.sql`vacuum analyze mutable`;
    await server.sql`checkpoint`;
  }
  const subjects = (call: (load: Load, key: string) => Promise<void>): Subject[] =>
    sizes.map(({ name, server, keys }) => {
      const load = new Load(server.address);
      // Any of the keys, the same in every run.
      const at = (n: number) => (n * 7_654_321) % keys;
      const key = (n: number) =>
        `${String(Math.floor(at(n) / 100)).padStart(6, "0")}:${String(at(n) % 100).padStart(2, "0")}`;
      return { name, work: (n) => call(load, key(n)), server: server.pid };
    });
  const namespace = "grown";
  const options = { count: 12_000, concurrency: inFlight };
  await meter.compare(
    "growth: Get",
    subjects((load, key) => load.call(path(get), bytesOf(get, { namespace, key }))),
    options,
  );
  await meter.compare(
    "growth: Set",
    subjects((load, key) =>
      load.call(path(set), bytesOf(set, { namespace, key, valueJson: textOf(210) })),
    ),
    options,
  );
  await meter.compare(
    "growth: List of a prefix of 100",
    subjects((load, key) =>
      load.call(path(list), bytesOf(list, { namespace, filter: { keyPrefix: key.slice(0, 7) } })),
    ),
    { count: 600, concurrency: 8 },
  );
}

async function tenants(meter: Meter, server: Server): Promise<void> {
  const load = new Load(server.address);
  const message = (n: number) =>
    bytesOf(set, { namespace: "tenants", key: `k${n % 100}`, valueJson: textOf(210) });
  const subjects = [1, 100, 10_000].map((count) => ({
    name: `${count} tenants`,
    work: (n: number) => load.call(path(set), message(n), { "x-tenant-id": `tenant-${n % count}` }),
    server: server.pid,
  }));
  await meter.compare("growth: Set by tenants", subjects, { count: 12_000, concurrency: inFlight });
  load.close();
}

/** Through the client, since load.ts sends no message that needs more than one frame. */
async function values(meter: Meter, { cortex, pid }: Server): Promise<void> {
  for (const [name, bytes, count] of [
    ["1 KB", 1024, 4000],
    ["32 KB", 32 * 1024, 800],
    ["1 MB", 1024 * 1024 - 100, 48],
  ] as const) {
    const value = { text: "x".repeat(bytes - 11) };
    const key = (n: number) => `${bytes}-${n % 16}`;
    await meter.compare(
      `growth: values of ${name}`,
      [
        { name: "Set", work: (n) => cortex.mutable.set("values", key(n), value), server: pid },
        { name: "Get", work: (n) => cortex.mutable.get("values", key(n)), server: pid },
      ],
      { count, concurrency: 8 },
    );
  }
}

async function connections(meter: Meter, server: Server): Promise<void> {
  const message = bytesOf(get, { namespace: "grown", key: "000000:00" });
  const subjects: Subject[] = [];
  const all: Load[] = [];
  for (const count of [1, 64, 2000]) {
    const loads = Array.from({ length: count }, () => new Load(server.address));
    for (const load of loads) await load.call(path(get), message);
    all.push(...loads);
    subjects.push({
      name: `${count} connections`,
      work: (n) => (loads[n % count] as Load).call(path(get), message),
      server: server.pid,
    });
  }
  await meter.compare("growth: Get over connections", subjects, {
    count: 12_000,
    concurrency: inFlight,
  });
  for (const load of all) load.close();
}

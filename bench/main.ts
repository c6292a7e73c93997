// Runs all benchmarks (npm run bench), or some of them (npm run bench -- --only calls,pages).
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startEmbedded } from "../server/embedded/cluster.js";
import type { Sql } from "../server/postgres/connection.js";
import { barrier } from "./barrier.js";
import { calls } from "./calls.js";
import { client } from "./client.js";
import { claims, events } from "./coordination.js";
import { growth } from "./growth.js";
import { immutables } from "./immutable.js";
import { Meter } from "./meter.js";
import { pages } from "./pages.js";
import { peers } from "./peers.js";
import { postmasterOf, serverOn } from "./process.js";
import { python } from "./python.js";
import { report } from "./report.js";
import { storm } from "./storm.js";
import { streams } from "./streams.js";
import { telemetry } from "./telemetry.js";
import { watch } from "./watch.js";
import { workers } from "./workers.js";

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    save: { type: "boolean", default: false },
  },
});
const directory = await mkdtemp(join(tmpdir(), "cortex-bench-"));
await chmod(directory, 0o711);
const log = { info: () => {}, warn: () => {} };
const postgres = await startEmbedded(directory, log);
const { url } = postgres;
const meter = new Meter(await postmasterOf(url), options.quick);
// So that the measured records keep all versions.
const retention = ["--retention", '{"defaultVersions":-1}'];
const bare = await serverOn(url, "bare", ["--watch-retention", "0", ...retention]);
const full = await serverOn(url, "with_log", retention);
const parts: Record<string, () => Promise<void>> = {
  calls: () => calls(meter, url, { bare, full }),
  pages: () => pages(meter, bare),
  client: () => client(meter, bare),
  peers: () => peers(meter, bare),
  growth: () => growth(meter, url),
  workers: () => workers(meter, url),
  immutable: () => immutables(bare.address, bare.url, bare.sql),
  barrier: () => barrier(bare.url),
  storm: () => storm(bare.url),
  watch: () => watch(url),
  claims: () => claims(url),
  events: () => events(url),
  streams: () => streams(url),
  telemetry: () => telemetry(url),
  python: () => python(full.address),
};
try {
  const names = options.only?.split(",") ?? Object.keys(parts);
  const unknown = names.find((name) => !parts[name]);
  if (unknown)
    throw new Error(`--only takes some of ${Object.keys(parts).join(",")}, and not ${unknown}`);
  for (const name of names) await parts[name]?.();
  if (options.json) await writeFile(options.json, JSON.stringify(meter.comparisons, undefined, 2));
  if (options.save) await report(meter.comparisons, await versionOf(bare.sql));
} finally {
  for (const server of [bare, full]) await server.stop();
  await postgres.stop();
  await rm(directory, { recursive: true, force: true });
}

async function versionOf(sql: Sql): Promise<string> {
  const [row] = await sql`select current_setting('server_version') as version`;
  return String(row?.version).split(" ")[0] ?? "";
}

// Reads many keys of one namespace (20 000; in the campaign a million) and many versions of one record (2000;
// in the campaign 10 000). A scan gives each key once, a history gives each version once, and the memory of
// the server stays constant.
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { connect } from "../../server/postgres/connection.js";
import { type ServerProcess, spawnServer } from "../support/process.js";
import { cloneDatabase } from "../support/server.js";

const keys = Number(process.env.SCALE_KEYS ?? 20_000);
const versions = Number(process.env.SCALE_VERSIONS ?? 2000);
let database: Awaited<ReturnType<typeof cloneDatabase>>;
let server: ServerProcess;
let cortex: Cortex;

beforeAll(async () => {
  database = await cloneDatabase();
  const sql = connect(database.url, { max: 1 });
  await sql`
    insert into mutable (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
    select '', 'scale', 'k' || lpad(n::text, 9, '0'), json_build_object('n', n, 'text', repeat('x', 180)), now(), now(), n, n
    from generate_series(1, ${keys}) n`;
  await sql`analyze mutable`;
  await sql`
    insert into immutable (tenant, type, id, version, first_version, created_at, first_created_at, metadata, digest, labels, data_text, data_words)
    select '', 'scale', 'r', ${versions}, 1, now(), now(), '{}', '', '{}', '', ''`;
  await sql`
    insert into immutable_version (tenant, type, id, version, data, metadata, created_at, salt, previous_digest, digest)
    select '', 'scale', 'r', n, json_build_object('n', n, 'text', repeat('x', 20000)), '{}', '2026-01-01'::timestamptz + n * interval '1 ms', '', '', ''
    from generate_series(1, ${versions}::int) n`;
  await sql.end();
  // The heap is smaller than the scanned data: a server that kept all of it would crash.
  const env = { NODE_OPTIONS: "--max-old-space-size=48" };
  server = await spawnServer(["--database-url", database.url], env);
  cortex = new Cortex({ address: server.address, timeoutMs: 60_000 });
}, 600_000);
afterAll(async () => {
  await cortex.close();
  await server.end();
  await database.drop();
});

/** Resident memory of the server, in MB. */
async function memory(): Promise<number> {
  const status = await readFile(`/proc/${server.child.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

it("scan gives every key once and in order, and the server's memory stays flat", async () => {
  expect(await memory()).toBeLessThan(150); // an idle server
  let seen = 0;
  let most = 0;
  for await (const { key, value } of cortex.mutable.scan<{ n: number }>("scale")) {
    seen++;
    if (value.n !== seen)
      expect([key, value.n]).toEqual([`k${String(seen).padStart(9, "0")}`, seen]);
    if (seen % 5000 === 0) most = Math.max(most, await memory());
  }
  expect(seen).toBe(keys);
  if (process.env.SCALE_KEYS) console.log({ keys, megabytesAtMost: Math.round(most) });
  expect(most).toBeLessThan(300);
}, 1_800_000);

it("a long history gives every version once and in order, and the server's memory stays flat", async () => {
  let seen = 0;
  let most = 0;
  for await (const { version, data } of cortex.immutable.historyStream<{ n: number }>(
    "scale",
    "r",
  )) {
    seen++;
    if (version !== seen || data.n !== seen) expect([version, data.n]).toEqual([seen, seen]);
    if (seen % 500 === 0) most = Math.max(most, await memory());
  }
  expect(seen).toBe(versions);
  if (process.env.SCALE_VERSIONS) console.log({ versions, megabytesAtMost: Math.round(most) });
  expect(most).toBeLessThan(300);
}, 600_000);

it("lists, counts and pages with a total that is exact", async () => {
  const page = await cortex.mutable.list("scale", { limit: 1000, sortOrder: "desc" });
  expect([page.total, page.records[0]?.value.n, page.hasMore]).toEqual([keys, keys, true]);
  expect(await cortex.mutable.count("scale", { keyPrefix: "k00000001" })).toBe(10);
  expect(await cortex.mutable.listNamespaces()).toMatchObject([{ namespace: "scale", keys }]);
});

it("purges all of it in one call", async () => {
  expect(await cortex.mutable.purgeNamespace("scale")).toMatchObject({ deleted: keys });
  expect(await cortex.mutable.count("scale")).toBe(0);
});

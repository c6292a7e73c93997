// A database or role may have defaults of its own for every session. Nothing of what the server answers depends
// on them.
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { defaults } from "../../server/config/config.js";
import { connect, type Sql } from "../../server/postgres/connection.js";
import { type Running, start } from "../../server/start.js";
import { databaseUrl } from "../support/postgres.js";
import { Raw } from "../support/raw.js";
import { serve, testLog } from "../support/server.js";
import { methods, requestsOf, seed } from "../support/tenant-isolation.js";

const against = {
  search_path: "own, public",
  extra_float_digits: "-6",
  standard_conforming_strings: "off",
  DateStyle: "SQL, DMY",
  IntervalStyle: "iso_8601",
  TimeZone: "Asia/Kathmandu",
  bytea_output: "escape",
  array_nulls: "off",
  transform_null_equals: "on",
  gin_fuzzy_search_limit: "1",
  default_transaction_isolation: "serializable",
  default_transaction_deferrable: "on",
  statement_timeout: "1ms",
  lock_timeout: "1ms",
  idle_in_transaction_session_timeout: "1ms",
  idle_session_timeout: "1ms",
};

const s = serve({ allowPurgeAll: true });
const name = `defaults_${process.pid}`;
let admin: Sql;
let running: Running;
beforeAll(async () => {
  admin = connect(inject("postgresUrl"), { max: 1 });
  await admin.unsafe(`create database ${name} template template0`);
  const url = databaseUrl(inject("postgresUrl"), name);
  const sql = connect(url, { max: 1 });
  await sql`create schema own`;
  for (const [setting, value] of Object.entries(against))
    await sql.unsafe(
      `alter database ${name} set ${setting} = ${setting === "search_path" ? value : `'${value}'`}`,
    );
  await sql.end();
  running = await start({ ...defaults, listen: "127.0.0.1:0", allowPurgeAll: true }, url, testLog);
});
afterAll(async () => {
  await running?.stop();
  await admin?.unsafe(`drop database if exists ${name} with (force)`);
  await admin?.end();
});

/** The outcomes of every request to every RPC, without what differs from run to run. */
async function outcomes(address: string) {
  const cortex = new Cortex({ address, timeoutMs: 20_000 });
  await seed(cortex);
  const raw = new Raw(address);
  const found: string[] = [];
  for (const method of methods)
    for (const request of requestsOf(method)) {
      if (method.methodKind === "bidi_streaming") continue;
      const reply = await raw.call(method as never, request as never, {}).catch(String);
      const { reason = "OK", message = "" } = reply as { reason?: string; message?: string };
      found.push(`${method.parent.name}.${method.name}: ${reason} ${message}`);
    }
  raw.close();
  await cortex.close();
  return found;
}

it("every RPC answers as on a database without them", async () => {
  const expected = await outcomes(s.address);
  expect(expected.length).toBeGreaterThan(40);
  expect(await outcomes(running.address)).toEqual(expected);
});

it("reads, transactions and pages of searches do too", async () => {
  const cortex = new Cortex({ address: running.address, timeoutMs: 20_000 });
  for (let i = 0; i < 25; i++)
    await cortex.immutable.store({
      type: "doc",
      id: `d${i}`,
      data: { text: `refund ${"word ".repeat(i)}` },
    });
  const pages: string[] = [];
  for (let offset = 0; offset < 30; offset += 10)
    pages.push(
      ...(await cortex.immutable.search("refund", { limit: 10, offset })).map(
        ({ record }) => record.id,
      ),
    );
  expect(new Set(pages).size).toBe(25);
  expect(pages).toHaveLength(25);
  await cortex.mutable.set("ns", "n", 0);
  await Promise.all(
    Array.from({ length: 50 }, () =>
      cortex.mutable.transaction((tx) => tx.update<number>("ns", "n", (n) => n + 1), {
        maxAttempts: 100,
      }),
    ),
  );
  expect(await cortex.mutable.get("ns", "n")).toBe(50);
  const before = new Date();
  const record = await cortex.immutable.get("doc", "d1");
  expect(Math.abs(Number(record?.createdAt) - Number(before))).toBeLessThan(600_000);
  await cortex.close();
});

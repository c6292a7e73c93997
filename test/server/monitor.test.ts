// Checks that the log gets one line when a problem with the database begins and one when it ends, but never
// one for each call.
import { setTimeout as pause } from "node:timers/promises";
import pino from "pino";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { Cortex, type CortexError } from "../../client/index.js";
import { defaults } from "../../server/config/config.js";
import { connect, type Sql } from "../../server/postgres/connection.js";
import { type Running, start } from "../../server/start.js";
import { databaseUrl } from "../support/postgres.js";
import { type Proxy as DatabaseProxy, proxyToPostgres } from "../support/proxy.js";
import { RawTransaction } from "../support/raw.js";

interface Line {
  level: number;
  msg: string;
  code?: string;
  seconds?: number;
  calls?: number;
  failedCalls?: number;
  msMax?: number;
}

// The server uses a role of its own, because connection limits do not hold for a superuser.
const role = "monitored";
const database = "monitored_by_server";
let admin: Sql;
let proxy: DatabaseProxy;
let running: Running;
let cortex: Cortex;
const lines: Line[] = [];
const said = (text: RegExp) => lines.filter(({ msg }) => text.test(msg));
const until = async (text: RegExp, times = 1) => {
  while (said(text).length < times) await pause(20);
};

beforeAll(async () => {
  const url = new URL(databaseUrl(inject("postgresUrl"), database));
  admin = connect(inject("postgresUrl"), { max: 1 });
  await admin.unsafe(`drop database if exists ${database} with (force)`);
  await admin.unsafe(`drop role if exists ${role}`);
  await admin.unsafe(`create role ${role} login password 'secret'`);
  await admin.unsafe(`create database ${database} owner ${role}`);
  url.username = role;
  url.password = "secret";
  const proxied = await proxyToPostgres(url.href);
  proxy = proxied.proxy;
  const log = pino({ level: "info" }, { write: (line) => lines.push(JSON.parse(line)) });
  const settings = { listen: "127.0.0.1:0", sweepSeconds: 0.2, poolSize: 2, drainSeconds: 0 };
  running = await start({ ...defaults, ...settings, transactionsMax: 1 }, proxied.url, log);
  cortex = new Cortex({ address: running.address, timeoutMs: 20_000 });
  await cortex.mutable.set("ns", "k", 0);
}, 60_000);
afterAll(async () => {
  await cortex?.close();
  await running?.stop();
  proxy?.close();
  await admin.unsafe(`drop database if exists ${database} with (force)`);
  await admin.unsafe(`drop role if exists ${role}`);
  await admin.end();
});

/** Makes calls until one fails; gives its error. */
async function failing(call: () => Promise<unknown>): Promise<CortexError> {
  for (;;) {
    const error = await call().then(
      () => undefined,
      (error: CortexError) => error,
    );
    if (error) return error;
  }
}
const get = () => cortex.mutable.get("ns", "k", { timeoutMs: 300 });

it("says once that the database is lost and why, and once that it is back, with the calls that failed", async () => {
  lines.length = 0;
  proxy.close();
  for (let i = 0; i < 20; i++) await expect(get()).rejects.toThrow();
  await until(/the database is lost/);
  await pause(700); // meanwhile sweeps and writes of access statistics fail too
  await proxy.open();
  await until(/the database is back/);
  expect(await cortex.mutable.get("ns", "k")).toBe(0);
  expect(lines.map(({ msg }) => msg)).toEqual([
    expect.stringMatching(
      /^the database is lost: no Postgres answers at 127\.0\.0\.1:\d+ \(ECONNREFUSED\): check/,
    ),
    "the database is back",
  ]);
  const { seconds, failedCalls } = lines[1] as Line;
  expect(seconds).toBeGreaterThan(0.5);
  expect(failedCalls).toBeGreaterThan(0);
});

it("notices a database that is lost while nobody calls", async () => {
  lines.length = 0;
  proxy.close();
  await until(/the database is lost/);
  await proxy.open();
  await until(/the database is back/);
  expect(lines).toHaveLength(2);
});

it("notices a database that does not answer any more, though its connections are open", async () => {
  lines.length = 0;
  proxy.hold();
  await until(/the database is lost: it did not answer within 2 s/);
  proxy.release();
  await until(/the database is back/);
}, 60_000);

it("says once that no connection is left, that the database is read-only, and that calls wait long; and once that each is over", async () => {
  lines.length = 0;
  // The role may open no further connections. So parallel calls fail if they need more than are open.
  await admin.unsafe(`alter role ${role} connection limit 1`);
  const refused = await failing(() =>
    Promise.all(
      Array.from({ length: 50 }, () => cortex.mutable.list("ns", {}, { timeoutMs: 2000 })),
    ),
  );
  expect(refused.code).toBe("DATABASE_UNAVAILABLE");
  await until(/has no connection left for the role monitored/);
  await admin.unsafe(`alter role ${role} connection limit -1`);

  // One transaction holds the only connection that a tenant may have for transactions.
  const keys = (key: string) => [{ namespace: "ns", key }];
  const [first, second] = [0, 1].map(() => new RawTransaction(running.address));
  for (const transaction of [first, second]) await transaction?.ask({ case: "begin", value: {} });
  await first?.ask({ case: "read", value: { keys: keys("k") } });
  const waiting = second?.ask({ case: "read", value: { keys: keys("other") } });
  await pause(1200);
  first?.close();
  await waiting;
  second?.close();
  expect(
    said(/calls wait longer than 1000 ms for one of the 2 connections of the pool "transactions"/),
  ).toHaveLength(1);

  // Connections that are opened from now on are read-only.
  await admin.unsafe(`alter database ${database} set default_transaction_read_only = on`);
  proxy.cut();
  await failing(() => cortex.mutable.set("ns", "k", 1, { timeoutMs: 300 }));
  await until(/is read-only, as on a replica/);
  await admin.unsafe(`alter database ${database} reset default_transaction_read_only`);
  proxy.cut();

  await until(/the database has connections free again/);
  await until(/calls wait no longer for connections of the pool "transactions"/);
  await until(/the database takes writes again/);
  expect(said(/has no connection left/)).toHaveLength(1);
  expect(said(/is read-only/)).toHaveLength(1);
  const [over] = said(/calls wait no longer/);
  expect(over?.msMax).toBeGreaterThan(1000);
  await cortex.mutable.set("ns", "k", 2);
}, 60_000);

it("says once that work in the background fails, and once that it works again", async () => {
  lines.length = 0;
  const owner = connect(databaseUrl(inject("postgresUrl"), database), { max: 1 });
  await owner`alter table request rename to request_away`;
  await until(/^cannot delete what is no longer kept: trying again$/);
  await pause(700); // three sweeps
  await owner`alter table request_away rename to request`;
  await until(/^can delete what is no longer kept again$/);
  expect(lines).toHaveLength(2);
  await owner.end();
});

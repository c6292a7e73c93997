// Tests the messages of a server that starts: where the data is, what it waits for, and why it cannot start.
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Embedded, startEmbedded } from "../../server/embedded/cluster.js";
import { connect, type Sql } from "../../server/postgres/connection.js";
import { temporaryDirectory } from "../support/directory.js";
import {
  cleanEnvironment,
  runServer,
  type ServerProcess,
  serverMain,
  spawnServer,
} from "../support/process.js";
import { proxyToPostgres } from "../support/proxy.js";
import { cloneDatabase } from "../support/server.js";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let postgres: Embedded;
let sql: Sql;
const servers: ServerProcess[] = [];

beforeAll(async () => {
  directory = await temporaryDirectory();
  const log = { info: () => {}, warn: () => {} };
  const data = join(directory.path, "data");
  postgres = await startEmbedded(data, log, 30);
  sql = connect(postgres.url, { max: 1 });
  // The embedded Postgres trusts everybody. Here some roles need a password, or may not log in.
  const file = join(data, "postgres/pg_hba.conf");
  const rules = "local all secretive scram-sha-256\nlocal all unwelcome reject\n";
  await writeFile(file, rules + (await readFile(file, "utf8")));
  await sql`select pg_reload_conf()`;
  await sql`create role secretive login password 'right'`;
  await sql`create role unwelcome login`;
  await sql`create role poor login`;
  await sql`create role limited login connection limit 1`;
});
afterAll(async () => {
  for (const server of servers) await server.end();
  await sql?.end();
  await postgres?.stop();
  await directory.remove();
});

const urlOf = (role: string, database = "postgres", password = "") => {
  const url = new URL(postgres.url);
  url.username = role;
  url.password = password;
  url.pathname = `/${database}`;
  return url.href;
};
const socket = () => new URL(postgres.url).searchParams.get("host") ?? "";
const refused = async (url: string) => {
  const { code, out, err } = await runServer([
    "--database-url",
    url,
    "--database-wait-seconds",
    "0",
  ]);
  expect([code, out]).toEqual([1, ""]);
  return err.replaceAll(socket(), "SOCKET").split("\n").filter(Boolean);
};
const launch = async (args: string[], env: NodeJS.ProcessEnv = {}) => {
  const server = await spawnServer(args, env);
  servers.push(server);
  return server;
};
const messagesOf = (server: ServerProcess): string[] =>
  server
    .err()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).msg);

describe("a database that cannot be used is said in one sentence, at once:", () => {
  it.each([
    [
      "a wrong password",
      () => urlOf("secretive", "postgres", "wrong"),
      "Postgres at SOCKET refused the password of the role secretive: check the password in the URL",
    ],
    [
      "a role that may not log in",
      () => urlOf("unwelcome"),
      /^cortex-store: Postgres at SOCKET does not let the role unwelcome use the database postgres \(pg_hba.conf rejects .*\): check the role, and pg_hba.conf$/,
    ],
    [
      "a role that is not there",
      () => urlOf("nobody"),
      'Postgres at SOCKET does not let the role nobody use the database postgres (role "nobody" does not exist): check the role, and pg_hba.conf',
    ],
    [
      "a database that is not there",
      () => urlOf("cortex", "No-Such"),
      'Postgres at SOCKET has no database No-Such: create it, for example with: create database "No-Such" owner cortex',
    ],
    [
      "a role without rights",
      () => urlOf("poor"),
      "the role poor lacks a right in the database postgres at SOCKET (permission denied for schema public): make it the owner, for example with: alter database postgres owner to poor",
    ],
  ])("%s", async (_, url, sentence) => {
    const [line, ...more] = await refused(url());
    if (typeof sentence === "string") expect(line).toBe(`cortex-store: ${sentence}`);
    else expect(line).toMatch(sentence);
    expect(more).toEqual([]);
  });

  it("a role without connections left", async () => {
    const taken = connect(urlOf("limited"), { max: 1 });
    await taken`select 1`;
    expect(await refused(urlOf("limited"))).toEqual([
      'cortex-store: Postgres at SOCKET has no connection left for the role limited and the database postgres (too many connections for role "limited"): raise its limit, or lower --pool-size, --transactions-max or --workers',
    ]);
    await taken.end();
  });

  it("one that a newer release has migrated; the sentence names both releases", async () => {
    const database = await cloneDatabase();
    const admin = connect(database.url, { max: 1 });
    await admin`insert into migration (name, server_version) values ('0999_later.sql', '9.8.7')`;
    await admin.end();
    const { code, err } = await runServer(["--database-url", database.url]);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^cortex-store: the schema of the database is newer than this server: it has 0999_later of cortex-store 9\.8\.7, and cortex-store \d+\.\d+\.\d+ knows it up to 0028_listed_records: start that release or a later one\n$/,
    );
    await database.drop();
  });
});

describe("a database", () => {
  it("that is not up yet is waited for, and the log says so", async () => {
    const { proxy, url } = await proxyToPostgres(postgres.url);
    proxy.close();
    const args = ["--listen", "127.0.0.1:0", "--database-url", url];
    const child = spawn(process.execPath, [serverMain, ...args, "--database-wait-seconds", "600"], {
      env: cleanEnvironment(),
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => {
        output += chunk;
      });
    while (!output.includes("waiting for the database")) await pause(20);
    expect(output).toContain(`no Postgres answers at 127.0.0.1:${proxy.port} (ECONNREFUSED)`);
    await proxy.open();
    while (!output.includes("listening on")) await pause(20);
    child.kill("SIGTERM");
    expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
    proxy.close();
  });

  it.each(["1", "2"])(
    "is waited for no longer once a server of %s worker(s) is asked to stop",
    async (workers) => {
      const args = [
        "--database-url",
        "postgres://u@127.0.0.1:1/d",
        "--database-wait-seconds",
        "600",
      ];
      const child = spawn(process.execPath, [serverMain, ...args, "--workers", workers], {
        env: cleanEnvironment(),
      });
      let log = "";
      child.stderr.on("data", (chunk) => {
        log += chunk;
      });
      while (!log.includes("waiting for the database")) await pause(20);
      child.kill("SIGTERM");
      expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
    },
  );

  it("that allows too few connections is said in a warning", async () => {
    const server = await launch(["--database-url", urlOf("cortex"), "--pool-size", "20"]);
    expect(messagesOf(server)).toContainEqual(
      expect.stringMatching(
        /^Postgres at .* allows the role cortex 27 connections to the database postgres, and this server may open \d+: raise the limit, or lower --pool-size, --transactions-max or --workers$/,
      ),
    );
    await server.end();
  });
});

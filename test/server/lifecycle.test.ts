// Tests the server as a process: ready line, second start, drain, kill -9, workers, health, reflection.
import { spawn } from "node:child_process";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Client, credentials } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { connect, type Sql } from "../../server/postgres/connection.js";
import { temporaryDirectory } from "../support/directory.js";
import {
  cleanEnvironment,
  root,
  run,
  runServer,
  type ServerProcess,
  spawnServer,
} from "../support/process.js";
import { Raw } from "../support/raw.js";
import { cloneDatabase } from "../support/server.js";

type Transaction = Parameters<Parameters<Sql["begin"]>[1]>[0];

let directory: string;
let temporary: Awaited<ReturnType<typeof temporaryDirectory>>;
let database: Awaited<ReturnType<typeof cloneDatabase>>;
const servers: ServerProcess[] = [];
const clients: Cortex[] = [];

beforeAll(async () => {
  temporary = await temporaryDirectory();
  directory = temporary.path;
  database = await cloneDatabase();
});
afterAll(async () => {
  for (const client of clients) await client.close();
  for (const server of servers) await server.end();
  await database.drop();
  await temporary.remove();
});

async function launch(args: string[], env: NodeJS.ProcessEnv = {}) {
  const server = await spawnServer(args, env);
  servers.push(server);
  const cortex = new Cortex({ address: server.address, timeoutMs: 20_000 });
  clients.push(cortex);
  return { server, cortex };
}
const dataDir = (name: string) => ["--data-dir", join(directory, name)];
const external = () => ["--database-url", database.url];

const health = (address: string, service = ""): Promise<string> => {
  const client = new Client(address, credentials.createInsecure());
  const { Check: check } = healthService as unknown as Record<
    string,
    {
      path: string;
      requestSerialize(v: object): Buffer;
      responseDeserialize(b: Buffer): { status: string };
    }
  >;
  return new Promise((resolve) => {
    if (!check) throw new Error("no health service");
    client.makeUnaryRequest(
      check.path,
      check.requestSerialize,
      check.responseDeserialize,
      { service },
      (error, reply) => {
        client.close();
        resolve(error ? `code ${error.code}` : (reply as { status: string }).status);
      },
    );
  });
};

describe("the embedded database", () => {
  it("keeps what was stored over a clean stop, and prints nothing but the ready line", async () => {
    const first = await launch(dataDir("kept"));
    expect(first.server.out()).toBe(`cortex-store listening on ${first.server.address}\n`);
    await first.cortex.mutable.set("ns", "k", "kept");
    expect(await first.server.end("SIGTERM")).toBe(0);
    const second = await launch(dataDir("kept"));
    expect(await second.cortex.mutable.get("ns", "k")).toBe("kept");
    expect(await second.server.end("SIGINT")).toBe(0);
    expect((await run("pgrep", ["-f", join(directory, "kept")])).out).toBe("");
  });

  it("recovers by itself after kill -9 of the server, whose Postgres lives on", async () => {
    const first = await launch(dataDir("orphan"));
    await first.cortex.mutable.set("ns", "k", 1);
    await first.server.end("SIGKILL");
    expect((await run("pgrep", ["-f", join(directory, "orphan")])).out).not.toBe("");
    const second = await launch(dataDir("orphan"));
    expect(await second.cortex.mutable.get("ns", "k")).toBe(1);
    expect(await second.server.end()).toBe(0);
  });

  it("recovers by itself after kill -9 of both", async () => {
    const first = await launch(dataDir("both"));
    await first.cortex.mutable.set("ns", "k", 1);
    // Kills the server and the postmaster. The child processes of the postmaster then end by themselves.
    await run("pkill", ["-9", "-f", join(directory, "both")]);
    await first.server.end("SIGKILL");
    const second = await launch(dataDir("both"));
    expect(await second.cortex.mutable.get("ns", "k")).toBe(1);
    expect(await second.server.end()).toBe(0);
  });
});

describe("cortex-store health", () => {
  it("finds the server however its address was given, and says which address it has", async () => {
    const temporaryFiles = { TMPDIR: directory };
    const health = (args: string[] = [], env = {}) =>
      runServer(["health", ...args], { ...temporaryFiles, ...env });
    const nowhere = await health(["--listen", "127.0.0.1:1"]);
    expect(nowhere).toMatchObject({ code: 1, out: "" });
    expect(nowhere.err).toMatch(/^cortex-store: no server answers at 127\.0\.0\.1:1 \(.*\)\n$/);
    const server = await spawnServer(external(), temporaryFiles); // --listen 127.0.0.1:0
    const serving = { code: 0, out: `SERVING ${server.address}\n`, err: "" };
    expect(await health()).toEqual(serving);
    expect(await health(["--listen", server.address])).toEqual(serving);
    expect(await health([], { CORTEX_LISTEN: server.address })).toEqual(serving);
    const second = await spawnServer(external(), temporaryFiles);
    const both = await health();
    expect(both.code).toBe(1);
    expect(both.err).toMatch(
      /^cortex-store: several servers run here \(.*\): say which with --listen\n$/,
    );
    // A note that was not written to its end, of a process that lives.
    const [notes = ""] = (await readdir(directory)).filter((name) =>
      name.startsWith("cortex-store-"),
    );
    await writeFile(join(directory, notes, `${process.pid}.json`), '{"addr');
    await second.end("SIGKILL"); // the file with its address stays, but `health` ignores it
    expect(await health()).toEqual(serving);
    await server.end();
  });

  it("refuses an unknown setting", async () => {
    expect(await runServer(["health", "--lsten", "x"])).toEqual({
      code: 2,
      out: "",
      err: "cortex-store: unknown option '--lsten' (Did you mean --listen?)\n",
    });
  });
});

describe("a drain", () => {
  it("says NOT_SERVING, lets calls in flight finish, and exits 0", async () => {
    const { server, cortex } = await launch([...external(), "--drain-seconds", "20"]);
    expect(await health(server.address)).toBe("SERVING");
    const containerCheck = async () =>
      (await runServer(["health"], { CORTEX_LISTEN: server.address })).code;
    expect(await containerCheck()).toBe(0);
    expect(await health(server.address, "cortex.mutable.v1.MutableStore")).toBe("SERVING");
    expect(await health(server.address, "nobody.knows.This")).toBe("code 5");
    await cortex.mutable.set("drain", "k", 1);
    const sql = connect(database.url, { max: 1 });
    let ended: Promise<number | null> = Promise.resolve(null);
    let inFlight: Promise<unknown> = Promise.resolve();
    await sql.begin(async (tx) => {
      await tx`select from mutable where namespace = 'drain' for update`;
      inFlight = cortex.mutable.increment("drain", "k");
      await waiting(tx);
      ended = server.end("SIGTERM");
      await pause(300);
      expect(server.child.exitCode).toBeNull();
    });
    await sql.end();
    expect(await inFlight).toMatchObject({ value: 2 });
    expect(await ended).toBe(0);
    expect(await containerCheck()).toBe(1);
  });

  it("is bounded: what does not finish in time is cancelled", async () => {
    const { server, cortex } = await launch([...external(), "--drain-seconds", "0.3"]);
    await cortex.mutable.set("bounded", "k", 1);
    const sql = connect(database.url, { max: 1 });
    await sql.begin(async (tx) => {
      await tx`select from mutable where namespace = 'bounded' for update`;
      const raw = new Raw(server.address);
      const operation = { case: "increment" as const, value: {} };
      const request = { namespace: "bounded", key: "k", operation };
      const stuck = raw.call(MutableStore.method.update, request);
      await waiting(tx);
      expect(await server.end("SIGTERM")).toBe(0);
      expect(await stuck).toMatchObject({ reason: "SHUTTING_DOWN", details: { applied: "no" } });
      raw.close();
    });
    const [row] = await sql`select value::text from mutable where namespace = 'bounded'`;
    expect(row?.value).toBe("1");
    await sql.end();
  });

  /** Waits until a statement of the server waits for a lock of this transaction. */
  async function waiting(tx: Sql | Transaction) {
    const found = async () => {
      await tx`select pg_stat_clear_snapshot()`; // without this, a transaction always sees its first snapshot
      return tx`select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
    };
    while ((await found()).length === 0) await pause(5);
  }
});

describe("a restart", () => {
  it("that is graceful fails no call and applies none twice", async () => {
    let server = await spawnServer(external());
    const cortex = new Cortex({ address: server.address, timeoutMs: 20_000 });
    clients.push(cortex);
    await cortex.mutable.set("restart", "n", 0);
    let restarting = true;
    let acknowledged = 0;
    const loops = Array.from({ length: 8 }, async () => {
      while (restarting) {
        await cortex.mutable.increment("restart", "n");
        acknowledged++;
      }
    });
    const fiftyMore = async () => {
      for (const enough = acknowledged + 50; acknowledged < enough; ) await pause(5);
    };
    for (let i = 0; i < 3; i++) {
      await fiftyMore();
      expect(await server.end("SIGTERM")).toBe(0);
      server = await spawnServer([...external(), "--listen", server.address]);
    }
    servers.push(server);
    await fiftyMore();
    restarting = false;
    await Promise.all(loops);
    expect(await cortex.mutable.get("restart", "n")).toBe(acknowledged);
  });
});

describe("npm start", () => {
  it("ends the server when it is ended itself", async () => {
    const env = { ...cleanEnvironment(), DATABASE_URL: database.url, CORTEX_LISTEN: "127.0.0.1:0" };
    const npm = spawn("npm", ["start", "--ignore-scripts"], {
      cwd: root,
      env,
      stdio: ["ignore", "pipe", "ignore"],
    });
    let out = "";
    npm.stdout.on("data", (chunk) => {
      out += chunk;
    });
    while (!out.includes("listening on")) await pause(20);
    const address = /listening on (\S+)/.exec(out)?.[1] ?? "";
    npm.kill("SIGTERM");
    while ((await health(address)) === "SERVING") await pause(20);
    expect(await health(address)).toBe("code 14"); // UNAVAILABLE: no server is there
  });
});

describe("workers", () => {
  it("share one address, replace one that dies, and stop together", async () => {
    const { server, cortex } = await launch([...external(), "--workers", "2"]);
    const workers = async () =>
      (await run("pgrep", ["-P", `${server.child.pid}`])).out.split("\n").filter(Boolean);
    expect(await workers()).toHaveLength(2);
    await cortex.mutable.set("workers", "k", 1);
    const [victim] = await workers();
    process.kill(Number(victim), "SIGKILL");
    while ((await workers()).length < 2 || (await workers()).includes(victim ?? ""))
      await pause(50);
    expect(await cortex.mutable.get("workers", "k")).toBe(1);
    expect(await server.end()).toBe(0);
    expect(server.out().match(/listening/g)).toHaveLength(1);
  });

  it("end when their primary is killed", async () => {
    const { server } = await launch([...external(), "--workers", "2"]);
    const workers = (await run("pgrep", ["-P", `${server.child.pid}`])).out
      .split("\n")
      .filter(Boolean);
    await server.end("SIGKILL");
    for (const pid of workers) while ((await run("kill", ["-0", pid])).code === 0) await pause(20);
  });
});

describe("the log", () => {
  it("is a JSON line for each call at debug, without values, metadata or passwords", async () => {
    const url = new URL(database.url);
    url.password = "hidden-password";
    const { server, cortex } = await launch(["--database-url", url.href, "--log-level", "debug"]);
    await cortex.mutable.set("logged", "k", "hidden-value", { metadata: { m: "hidden-metadata" } });
    await expect(cortex.mutable.increment("logged", "k")).toFailWith("VALUE_NOT_NUMERIC");
    await expect(cortex.mutable.set("logged", "k", 1, "nobody")).toFailWith("USER_NOT_FOUND");
    expect(await server.end()).toBe(0);
    const lines = server
      .err()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const rpc = "cortex.mutable.v1.MutableStore/Update";
    expect(lines).toContainEqual(
      expect.objectContaining({
        rpc,
        tenant: "",
        outcome: "VALUE_NOT_NUMERIC",
        ms: expect.any(Number),
      }),
    );
    expect(server.err()).not.toContain("hidden");
  });

  it("is readable where --log-format pretty asks for it", async () => {
    const { server } = await launch([...external(), "--log-format", "pretty"]);
    expect(await server.end()).toBe(0);
    expect(server.err()).toMatch(/INFO.*stopping/);
  });
});

describe("reflection", () => {
  it("lets buf curl set, get, increment and list with nothing but the address, by v1 and v1alpha", async () => {
    const { server } = await launch(external());
    const curl = async (rpc: string, request: object, protocol = "grpc-v1") => {
      const url = `http://${server.address}/cortex.mutable.v1.MutableStore/${rpc}`;
      const args = [
        "curl",
        "--protocol",
        "grpc",
        "--http2-prior-knowledge",
        "--reflect-protocol",
        protocol,
        "-d",
        JSON.stringify(request),
        url,
      ];
      const { out, err } = await run(join(root, "node_modules/.bin/buf"), args, {
        cwd: directory,
        env: cleanEnvironment(),
      });
      return out ? JSON.parse(out) : JSON.parse(err);
    };
    const place = { namespace: "curl", key: "widget-qty" };
    expect(await curl("Set", { ...place, valueJson: "100" })).toMatchObject({
      record: { valueJson: "100" },
    });
    expect(await curl("Get", place, "grpc-v1alpha")).toMatchObject({ valueJson: "100" });
    expect(await curl("Update", { ...place, decrement: { amount: "2.5" } })).toMatchObject({
      record: { valueJson: "97.5" },
    });
    expect(await curl("List", { namespace: "curl" })).toMatchObject({
      records: [{ key: "widget-qty" }],
      total: "1",
    });
    expect(await curl("Update", { ...place, append: { valueJson: "1" } })).toMatchObject({
      code: "failed_precondition",
      message: 'the value of "curl" / "widget-qty" is not an array but number',
    });
  });
});

// Tests the problems that users of the embedded Postgres can run into.
import { spawn } from "node:child_process";
import { chmod, chown, mkdir, readFile, realpath, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { connect } from "../../server/postgres/connection.js";
import { temporaryDirectory } from "../support/directory.js";
import {
  cleanEnvironment,
  run,
  runServer,
  type ServerProcess,
  serverMain,
  spawnServer,
} from "../support/process.js";

const root = process.getuid?.() === 0;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
const place = (name: string) => join(directory.path, name);
const servers: ServerProcess[] = [];
const launch = async (name: string, env: NodeJS.ProcessEnv = {}, args: string[] = []) => {
  const server = await spawnServer(["--data-dir", place(name), ...args], env);
  servers.push(server);
  return server;
};
const use = async <T>(server: ServerProcess, work: (cortex: Cortex) => Promise<T>): Promise<T> => {
  await using cortex = new Cortex({ address: server.address, timeoutMs: 15_000 });
  return await work(cortex);
};

beforeAll(async () => {
  directory = await temporaryDirectory();
});
afterAll(async () => {
  for (const server of servers) await server.end();
  await directory.remove();
});

describe("the data directory", () => {
  it("is private to its user, UTF-8, and independent of the machine's locale", async () => {
    const server = await launch("locale", {
      LC_ALL: "xx_YY.ISO-8859-9",
      LANG: "tr_TR",
      PGPORT: "5433",
    });
    expect((await stat(place("locale/postgres"))).mode & 0o777).toBe(0o700);
    await use(server, (cortex) => cortex.mutable.setMany("ns", { I: 1, i: 1, ı: 1, é: 1 }));
    const sql = connect(
      `postgres://cortex@localhost:5432/postgres?host=${place("locale/postgres")}`,
      {
        max: 1,
      },
    );
    const [settings] = await sql`
      select current_setting('server_encoding') as encoding, datlocprovider as provider, datcollate as collation,
        upper('ié') as upper from pg_database where datname = current_database()`;
    expect(settings).toEqual({ encoding: "UTF8", provider: "b", collation: "C", upper: "IÉ" });
    await sql.end();
  });

  it("belongs to one server at a time, and the second says so in one sentence", async () => {
    const server = await launch("shared");
    const second = await runServer(["--data-dir", place("shared"), "--listen", "127.0.0.1:0"]);
    expect(second).toMatchObject({ code: 1, out: "" });
    expect(second.err).toMatch(
      /^cortex-store: another cortex-store server uses the data directory .*\n$/,
    );
    expect(await use(server, (cortex) => cortex.mutable.exists("ns", "k"))).toBe(false); // unharmed
  });

  it("may have a path too long for a socket", async () => {
    const server = await launch("long/".padEnd(120, "x"));
    expect(await use(server, (cortex) => cortex.mutable.exists("ns", "k"))).toBe(false);
    expect(await server.end()).toBe(0);
  });

  it("may have any path", async () => {
    const name = "Acme, Inc/$(touch pwned)`touch pwned` ' \" back\\slash & ; #1 %20 é ?x=1";
    const server = await launch(name);
    await use(server, (cortex) => cortex.mutable.set("ns", "k", 1));
    expect(await server.end()).toBe(0);
    const again = await launch(name);
    expect(await use(again, (cortex) => cortex.mutable.get("ns", "k"))).toBe(1);
    expect(await again.end()).toBe(0);
    expect((await run("find", ["/", directory.path, "-maxdepth", "1", "-name", "pwned"])).out).toBe(
      "",
    );
  });

  it("whose Postgres does not get ready holds up no stop", async () => {
    const server = await launch("frozen");
    await server.end("SIGKILL"); // its Postgres lives on
    const pid = Number(
      (await readFile(place("frozen/postgres/postmaster.pid"), "utf8")).split("\n")[0],
    );
    process.kill(pid, "SIGSTOP");
    const child = spawn(process.execPath, [serverMain, "--data-dir", place("frozen")], {
      env: cleanEnvironment(),
    });
    let log = "";
    child.stderr.on("data", (chunk) => {
      log += chunk;
    });
    while (!log.includes("starts, on Node")) await pause(20);
    await pause(500);
    child.kill("SIGTERM");
    const code = await new Promise((resolve) => child.once("exit", resolve));
    process.kill(pid, "SIGCONT");
    expect(code).toBe(0);
    servers.push(await spawnServer(["--data-dir", place("frozen")])); // ends that Postgres with it
  });

  it("takes no port: two servers have a database each, and a program on port 5432 is not disturbed", async () => {
    const squatter = createServer().listen(5432, "127.0.0.1");
    const both = await Promise.all([launch("one"), launch("two")]);
    await use(both[0], (cortex) => cortex.mutable.set("ns", "k", 1));
    expect(await use(both[1], (cortex) => cortex.mutable.get("ns", "k"))).toBeNull();
    squatter.close();
  });

  it("in a home of mode 0700 works for root too: the data is elsewhere then, and the log says where", async () => {
    await mkdir(place("home"), { mode: 0o700 });
    await chmod(place("home"), 0o700);
    const server = await launch("home/.cortex");
    await use(server, (cortex) => cortex.mutable.set("ns", "k", "found"));
    expect(await server.end()).toBe(0);
    const data = await realpath(place("home/.cortex/postgres"));
    expect(server.err().includes("the data is kept elsewhere")).toBe(root);
    expect(data.startsWith(root ? "/var/lib/cortex-store/" : directory.path)).toBe(true);
    const again = await launch("home/.cortex");
    expect(await use(again, (cortex) => cortex.mutable.get("ns", "k"))).toBe("found");
    expect(await again.end()).toBe(0);
    if (root) await rm(join(data, ".."), { recursive: true });
  });

  it("that a killed first start left half-made does not stop the next start", async () => {
    await mkdir(place("half/postgres.new-999999999-x"), { recursive: true });
    await writeFile(place("half/postgres.new-999999999-x/PG_VERSION"), "18\n");
    const server = await launch("half");
    await expect(stat(place("half/postgres.new-999999999-x"))).rejects.toThrow("ENOENT");
    expect(await server.end()).toBe(0);
  });

  it("starts although its lock file has a process id that another program has now", async () => {
    const first = await launch("stale");
    await use(first, (cortex) => cortex.mutable.set("ns", "k", 1));
    const lock = place("stale/postgres/postmaster.pid");
    const [, ...rest] = (await readFile(lock, "utf8")).split("\n");
    await run("pkill", ["-9", "-f", place("stale")]);
    await first.end("SIGKILL");
    await pause(100);
    await writeFile(lock, [`${process.pid}`, ...rest].join("\n"));
    const second = await launch("stale");
    expect(await use(second, (cortex) => cortex.mutable.get("ns", "k"))).toBe(1);
  });

  it.each<[string, (path: string) => Promise<void>, RegExp]>([
    [
      "of another version of Postgres",
      (path) => writeFile(join(path, "postgres/PG_VERSION"), "12\n"),
      /was written by Postgres 12, and this is Postgres 18/,
    ],
    [
      "that Postgres did not make",
      (path) => writeFile(join(path, "postgres/notes.txt"), ""),
      /is not a data directory of Postgres/,
    ],
  ])("%s is left alone, and said in one sentence", async (name, spoil, sentence) => {
    await mkdir(join(place(name), "postgres"), { recursive: true });
    await spoil(place(name));
    const { code, out, err } = await runServer(["--data-dir", place(name)]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^cortex-store: .*\n$/);
    expect(err).toMatch(sentence);
  });

  it("that is a file is said in one sentence, and nothing is made elsewhere", async () => {
    await writeFile(place("a-file"), "");
    const elsewhere = async () => (await run("ls", ["/var/lib/cortex-store"])).out;
    const before = await elsewhere();
    const { code, err } = await runServer(["--data-dir", place("a-file")]);
    expect(code).toBe(1);
    expect(err).toBe(
      `cortex-store: the data directory ${place("a-file")} cannot be used: it is a file; move it away, or give another --data-dir\n`,
    );
    expect(await elsewhere()).toBe(before);
  });

  it("that belongs to another user is said in one sentence at once, whoever starts the server", async () => {
    if (!root) return expect(process.getuid?.()).not.toBe(0);
    const asNobody = { uid: 65534, gid: 65534 };
    const say = async (path: string, user = {}) => {
      const { code, err } = await runServer(["--data-dir", path], {}, user);
      expect(code).toBe(1);
      return err;
    };
    await mkdir(place("of-root"), { mode: 0o700 });
    expect(await say(place("of-root"), asNobody)).toBe(
      `cortex-store: the data directory ${place("of-root")} cannot be used: it belongs to the user root, and the user nobody may not write there; run the server as the user root, or give another --data-dir\n`,
    );
    const server = await launch("of-postgres");
    await server.end();
    await chmod(place("of-postgres"), 0o777);
    expect(await say(place("of-postgres"), asNobody)).toMatch(
      /^cortex-store: the data in .* belongs to the user postgres, and this server runs Postgres as the user nobody: run the server as the user postgres, or give another --data-dir\n$/,
    );
    await mkdir(place("of-nobody"));
    await writeFile(place("of-nobody/file"), "");
    await chown(place("of-nobody"), 65534, 65534);
    expect(await say(place("of-nobody"))).toMatch(
      /^cortex-store: the data directory .* holds files of the user nobody, and root runs Postgres as the user postgres: .*\n$/,
    );
  });

  it("that every user may write is refused", async () => {
    await mkdir(place("open"));
    await chmod(place("open"), 0o703);
    const { code, err } = await runServer(["--data-dir", place("open")]);
    expect([code, err]).toEqual([
      1,
      `cortex-store: every user may write in the data directory ${place("open")}, and so replace the database: take that right away (chmod o-w), or give another --data-dir, for example a directory in it\n`,
    ]);
  });

  it("that cannot be made is said in one sentence", async () => {
    await writeFile(place("file"), "");
    const { code, err } = await runServer(["--data-dir", place("file/.cortex")]);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^cortex-store: the data directory .* cannot be used: a part of its path is a file; give another --data-dir\n$/,
    );
  });
});

// Uses a small disk if the test may mount one. Otherwise a directory without write permission stands for the
// read-only disk.
describe("a disk", () => {
  const mount = async (name: string, options: string) => {
    await mkdir(place(name), { recursive: true });
    const { code } = await run("mount", [
      "-t",
      "tmpfs",
      "-o",
      `mode=0755,${options}`,
      "tmpfs",
      place(name),
    ]);
    return code === 0;
  };
  const unmount = (name: string) => run("umount", [place(name)]);

  it("that is read-only is said in one sentence", async () => {
    const mounted = await mount("ro", "ro");
    if (!mounted) await chmod(place("ro"), 0o555);
    const { code, err } = await runServer(["--data-dir", place("ro/.cortex")]);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^cortex-store: the data directory .* cannot be used: (the file system is read-only|the user \S+ may not make it).*\n$/,
    );
    await unmount("ro");
  });

  it("that is full at the first start is said in one sentence, and nothing half-made stays", async () => {
    if (!(await mount("small", "size=20m"))) return expect(root).toBe(false);
    const { code, err } = await runServer(["--data-dir", place("small/.cortex")]);
    expect(code).toBe(1);
    expect(err).toMatch(/^cortex-store: no database can be made in .*No space left on device.*\n$/);
    expect((await run("ls", ["-A", place("small/.cortex")])).out).toBe("");
    await unmount("small");
  });

  it("that fills up while the server runs fails writes, loses nothing, and is used again once it has space", async () => {
    if (!(await mount("filling", "size=90m"))) return expect(root).toBe(false);
    const server = await launch("filling/.cortex", {}, ["--log-level", "warn"]);
    await use(server, async (cortex) => {
      await cortex.mutable.set("ns", "before", "kept");
      await run("dd", ["if=/dev/zero", `of=${place("filling/filler")}`, "bs=1M"]);
      const failures = new Set<string>();
      let acknowledged = 0;
      for (let i = 0; i < 200 && failures.size === 0; i++)
        await cortex.mutable
          .set("ns", `k${i}`, Array.from({ length: 20_000 }, () => Math.random()).join(), {
            timeoutMs: 3000,
          })
          .then(
            () => acknowledged++,
            (error) => failures.add(error.code),
          );
      expect([...failures]).toEqual([
        expect.stringMatching(/^(DATABASE_FULL|DATABASE_UNAVAILABLE)$/),
      ]);
      await rm(place("filling/filler"));
      const deadline = Date.now() + 20_000;
      let count = -1;
      while (count < 0 && Date.now() < deadline)
        count = await cortex.mutable.count("ns").catch(() => -1);
      expect(count).toBeGreaterThanOrEqual(acknowledged + 1);
      expect(await cortex.mutable.get("ns", "before")).toBe("kept");
      await cortex.mutable.set("ns", "after", 1);
    });
    expect(await server.end()).toBe(0);
    await unmount("filling");
  }, 60_000);
});

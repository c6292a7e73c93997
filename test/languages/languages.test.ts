// The example in Go, and the tour with grpcurl and buf curl, as docs/other-languages.md prints them. They need Go.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { temporaryDirectory } from "../support/directory.js";
import { cleanEnvironment, root, run } from "../support/process.js";
import { serve } from "../support/server.js";

const s = serve();
const env = () => ({ ...cleanEnvironment(), CORTEX_ADDRESS: s.address });

/** Runs a command, which must succeed. Gives what it printed. */
async function done(command: string, cwd: string, more = {}): Promise<string> {
  const { code, out, err } = await run("bash", ["-ec", command], {
    cwd,
    env: { ...env(), ...more },
  });
  expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
  return out;
}

it("the example in Go prints what it says, also when it runs again", async () => {
  const cwd = join(root, "examples", "go");
  await done("go generate && go vet .", cwd);
  const text = await readFile(join(cwd, "main.go"), "utf8");
  const said = [...text.matchAll(/fmt\.Println\(.*\) \/\/ (.*)$/gm)].map(([, line]) => line);
  expect(said).toHaveLength(3);
  for (let time = 1; time <= 2; time++)
    expect((await done("go run .", cwd)).trim().split("\n")).toEqual(said);
  expect((await done("gofmt -l *.go", cwd)).trim()).toBe("");
});

let lines: string[];
beforeAll(async () => {
  const { path, remove } = await temporaryDirectory();
  const tour = await readFile(join(root, "examples", "tour.sh"), "utf8");
  const install = /^#\s+(go install \S+)$/m.exec(tour)?.[1] ?? "";
  await done(install, root, { GOBIN: path });
  const out = await done("examples/tour.sh", root, { GRPCURL: join(path, "grpcurl") });
  lines = out.split("\n");
  await remove();
}, 600_000);

/** What follows a line of the tour, until the next one. */
function after(title: string): string {
  const at = lines.findIndex((line) => line.startsWith("--- ") && line.includes(title));
  const next = lines.findIndex((line, i) => i > at && line.startsWith("--- "));
  return lines.slice(at + 1, next === -1 ? undefined : next).join(" ");
}

it.each([
  ["A value is JSON text", '"valueJson": "100"'],
  ["exact", '"valueJson": "97.5"'],
  ["applied once", '"valueJson": "1"'],
  ["has a reason", '"reason": "KEY_NOT_FOUND"'],
  ["all or none", '"valueJson": "[1,2]"'],
  ["one owner at a time", '"fence"'],
  ["one owner at a time", "{}"],
  ["A stream", '"dataJson": "{\\"n\\": 1}"'],
  ["Watch a namespace", '"valueJson": "97.5"'],
  ["buf curl", '"count": "1"'],
])("the tour: %s: %s", (title, expected) => {
  expect(after(title)).toContain(expected);
});

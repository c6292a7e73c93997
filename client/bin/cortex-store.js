#!/usr/bin/env -S node --max-semi-space-size=16
// The command `cortex-store`: starts the server of the package cortex-store-server, where that is installed. It
// is not built, because npm links the commands of a package before the build.
import { existsSync, readFileSync } from "node:fs";

const fail = (problem) => {
  console.error(`cortex-store: ${problem}`);
  process.exitCode = 1;
};

function serverMain() {
  try {
    return import.meta.resolve("cortex-store-server/main");
  } catch {
    return undefined;
  }
}

const main = serverMain();
if (main === undefined) {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  fail(
    `the server is not installed: run "npm install cortex-store-server@${version}" (this package is the client; docs/packages.md says more)`,
  );
} else if (existsSync(new URL(main))) await import(main);
else fail("the server is not built yet: run npm run build");

#!/usr/bin/env -S node --max-semi-space-size=64
// The command `cortex-store`. It is not built, because npm links the commands of a package before the build.
import { existsSync } from "node:fs";

const main = new URL("../dist/server/main.js", import.meta.url);
if (existsSync(main)) await import(main.href);
else {
  console.error("cortex-store: it is not built yet: run npm run build");
  process.exitCode = 1;
}

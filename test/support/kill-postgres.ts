import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** Kills the embedded Postgres of a data directory with its child processes. Returns its process id. */
export async function killPostgres(dataDirectory: string): Promise<number> {
  const file = join(dataDirectory, "postgres", "postmaster.pid");
  const pid = Number.parseInt(await readFile(file, "utf8"), 10);
  const children = execFileSync("pgrep", ["-P", `${pid}`])
    .toString()
    .split("\n")
    .filter(Boolean);
  for (const child of [...children.map(Number), pid])
    try {
      process.kill(child, "SIGKILL");
    } catch {} // the process has already ended
  return pid;
}

import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory of its own that the user `postgres` can pass through, as whom root runs the embedded Postgres. */
export async function temporaryDirectory() {
  const path = await mkdtemp(join(tmpdir(), "cortex-test-"));
  await chmod(path, 0o711);
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

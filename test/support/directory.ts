import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Makes a temporary directory that the user `postgres` can reach: as root, the embedded Postgres runs as that
 * user.
 */
export async function temporaryDirectory() {
  const path = await mkdtemp(join(tmpdir(), "cortex-test-"));
  await chmod(path, 0o711);
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

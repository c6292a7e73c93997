// The names of the claims that patterns take.
import { createHash } from "node:crypto";

const bytesMax = 512; // the server's limit

/** The claim of a pattern for a key. A name that would be too long ends in a digest of it. */
export function claimName(pattern: string, namespace: string, key: string): string {
  const name = `${pattern}:${namespace}:${key}`;
  if (Buffer.byteLength(name) <= bytesMax) return name;
  return `${pattern}:${createHash("sha256").update(name).digest("hex")}`;
}

// The names of the claims that patterns take, and of what notes that an addition was done.
import { createHash } from "node:crypto";
import { joinName } from "./names.js";

const [claimBytesMax, keyBytesMax] = [512, 1024]; // the server's limits

/** The claim of a pattern for a key. A name that would be too long ends in a digest of it. */
export function claimName(pattern: string, namespace: string, key: string): string {
  const name = `${pattern}:${namespace}:${key}`;
  if (Buffer.byteLength(name) <= claimBytesMax) return name;
  return `${pattern}:${digest(name)}`;
}

/** The request id of an addition to a counter. Each counter has ids of its own. */
export const countId = (namespace: string, key: string, id: string): string =>
  digest(joinName(namespace, key, id));

/** The key that notes what was done to a key under an id. One that would be too long is a digest. */
export function doneKey(key: string, id: string): string {
  const name = joinName(key, id);
  return Buffer.byteLength(name) <= keyBytesMax ? name : digest(name);
}

const digest = (name: string) => createHash("sha256").update(name).digest("hex");

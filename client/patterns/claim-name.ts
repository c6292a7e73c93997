// The names of the claims that patterns take, and of the keys that note what was done.
import { createHash } from "node:crypto";
import { joinName } from "./names.js";

const [claimBytesMax, keyBytesMax] = [512, 1024]; // the server's limits

/** The claim of a pattern for a key. A name that would be too long ends in a digest of it. */
export function claimName(pattern: string, namespace: string, key: string): string {
  const name = `${pattern}:${namespace}:${key}`;
  if (Buffer.byteLength(name) <= claimBytesMax) return name;
  return `${pattern}:${digest(name)}`;
}

/** The key that notes what was done to a key under an id. One that would be too long is a digest. */
export function doneKey(key: string, id: string): string {
  const name = joinName(key, id);
  return Buffer.byteLength(name) <= keyBytesMax ? name : digest(name);
}

const digest = (name: string) => createHash("sha256").update(name).digest("hex");

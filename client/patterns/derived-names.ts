// The names that patterns derive from a key: of claims, request ids, and notes of what was done.
import { createHash } from "node:crypto";
import type { ScopeStep } from "../core/call-options.js";
import { type ErrorCode, refused } from "../core/error.js";
import { text } from "../core/validate.js";
import { joinName } from "./names.js";

const [claimBytesMax, keyBytesMax] = [512, 1024]; // the server's limits

/** The claim of a pattern for a key. A name that would be too long ends in a digest of it. */
export function claimName(pattern: string, namespace: string, key: string): string {
  const name = `${pattern}:${namespace}:${key}`;
  return Buffer.byteLength(name) <= claimBytesMax ? name : `${pattern}:${digest(name)}`;
}

/**
 * The request id of an addition to a counter. Each counter has ids of its own, also in each scope: a request id is one
 * of the tenant.
 */
export function countId(
  path: readonly ScopeStep[],
  namespace: string,
  key: string,
  id: string,
): string {
  const steps = path.flatMap(({ key, identifier }) => [key, identifier]);
  return digest(
    joinName(
      ...steps,
      named(namespace, "namespace", "INVALID_NAMESPACE"),
      named(key, "key", "INVALID_KEY"),
      named(id, "id", "INVALID_REQUEST_ID"),
    ),
  );
}

/** The key that notes what was done to a key under an id. One that would be too long is a digest. */
export function doneKey(key: string, id: string): string {
  const name = joinName(named(key, "key", "INVALID_KEY"), named(id, "id", "INVALID_REQUEST_ID"));
  return Buffer.byteLength(name) <= keyBytesMax ? name : digest(name);
}

function named(value: string, field: string, code: ErrorCode): string {
  if (text(value, field, code) === "") throw refused(code, field, "is empty");
  return value;
}

const digest = (name: string) => createHash("sha256").update(name).digest("hex");

// Pre-shared keys: a JSON file of their SHA-256 digests and what each allows. A plain digest is safe because
// keys are random (32 bytes, say); it would not be safe for passwords.
import { createHash, timingSafeEqual } from "node:crypto";
import { BadGrant, type Credentials, credentialsOf, reachNames } from "./credentials.js";

interface Key {
  digest: Buffer;
  credentials: Credentials;
}

/**
 * Parses a file of keys:
 * `{ "keys": [{ "principal", "sha256": hex or list of hex, "tenants", "permissions", … }] }`.
 */
export function parseKeys(text: string): Key[] {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new BadGrant("it is not JSON");
  }
  const { keys } = objectOf(file, "it", ["keys"]);
  if (!Array.isArray(keys) || keys.length === 0)
    throw new BadGrant('it has no list "keys", or an empty one: nobody could call');
  return keys.flatMap((entry: unknown, i) => {
    const what = `keys[${i}]`;
    const known = ["principal", "sha256", "tenants", "permissions", "scopes", ...reachNames];
    const { principal, sha256, ...grant } = objectOf(entry, what, known);
    const digests = Array.isArray(sha256) ? sha256 : [sha256];
    try {
      const credentials = credentialsOf(principal, grant);
      return digests.map((hex: unknown) => {
        if (typeof hex !== "string" || !/^[0-9a-fA-F]{64}$/.test(hex))
          throw new BadGrant("its sha256 is not 64 hexadecimal digits");
        return { digest: Buffer.from(hex, "hex"), credentials };
      });
    } catch (error) {
      throw error instanceof BadGrant ? new BadGrant(`${what}: ${error.message}`) : error;
    }
  });
}

function objectOf(value: unknown, what: string, known: string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new BadGrant(`${what} is not an object`);
  const stranger = Object.keys(value).find((name) => !known.includes(name));
  if (stranger !== undefined)
    throw new BadGrant(
      `${what} has a field ${JSON.stringify(stranger)}, where there can be ${known.join(", ")}`,
    );
  return value as Record<string, unknown>;
}

/**
 * The credentials of a key; undefined if it is not known. Compares with all keys, so that the time taken
 * reveals nothing.
 */
export function holderOf(keys: readonly Key[], token: string): Credentials | undefined {
  const digest = createHash("sha256").update(token).digest();
  let holder: Credentials | undefined;
  for (const key of keys) if (timingSafeEqual(key.digest, digest)) holder = key.credentials;
  return holder;
}

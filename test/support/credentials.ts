// Makes keys, tokens and certificates for the tests.
import { createHash, randomBytes } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";

export const issuer = "https://issuer.example";
export const audience = "cortex";

export const newKey = () => randomBytes(24).toString("base64url");
export const digestOf = (key: string) => createHash("sha256").update(key).digest("hex");

export interface Grant {
  tenants?: string[] | "*";
  permissions?: string[];
  namespaces?: string[];
  types?: string[];
  claims?: string[];
  channels?: string[];
  streams?: string[];
  scopes?: [key: string, identifier: string][][];
}

/** The text of a key file. */
export const keyFile = (keys: ({ principal: string; key: string | string[] } & Grant)[]): string =>
  JSON.stringify({
    keys: keys.map(
      ({ principal, key, tenants = "*", permissions = ["read", "write"], ...reach }) => ({
        principal,
        sha256: typeof key === "string" ? digestOf(key) : key.map(digestOf),
        tenants,
        permissions,
        ...reach,
      }),
    ),
  });

/** Replaces a file atomically, as an operator who rotates keys should. */
export async function replaceFile(path: string, content: string | Buffer): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}

export interface Signer {
  /** The public key, for a key set. */
  jwk: object;
  sign(claims?: JWTPayload): Promise<string>;
}

export async function signer(alg: "RS256" | "ES256", kid: string): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return {
    jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" },
    sign: (claims = {}) => token(claims).setProtectedHeader({ alg, kid }).sign(privateKey),
  };
}

export const secretSigner = (secret: string) => ({
  sign: (claims: JWTPayload = {}) =>
    token(claims).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(secret)),
});

/** A valid token. The given claims replace the default ones; an undefined claim is left out. */
function token(claims: JWTPayload): SignJWT {
  const now = Math.floor(Date.now() / 1000);
  const whole = {
    iss: issuer,
    aud: audience,
    sub: "agent-of-token",
    exp: now + 300,
    cortex: { tenants: "*", permissions: ["read", "write"] },
    ...claims,
  };
  return new SignJWT(whole as JWTPayload);
}

export const certificate = (name: string): Promise<Buffer> =>
  readFile(join(import.meta.dirname, "certificates", name));

export const certificatePath = (name: string): string =>
  join(import.meta.dirname, "certificates", name);

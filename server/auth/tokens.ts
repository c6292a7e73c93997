// JSON Web Tokens, verified by jose: signature, issuer, audience, times. The claim `cortex` says what the
// token allows. The claim `sub` says who calls.
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from "jose";
import { CortexError } from "../errors/reasons.js";
import { BadGrant, type Credentials, credentialsOf } from "./credentials.js";

interface TokenOptions {
  issuer: string;
  audience: string;
  skewSeconds: number;
}

const timeoutMs = 5000;
const cooldownMs = 1000; // an unknown key makes us fetch the key set at most once a second
const refreshMs = 60_000;
const cachedMax = 10_000;
const cachedMs = 60_000; // a token verified before its key was withdrawn counts for this long

/** The keys that verify tokens: a secret (HS256), or public keys (RS256, ES256). */
export interface Trust {
  algorithms: string[];
  keys: JWTVerifyGetKey;
}

export const secretTrust = (secret: string): Trust => {
  const key = new TextEncoder().encode(secret);
  return { algorithms: ["HS256"], keys: async () => key };
};

const publicAlgorithms = ["RS256", "ES256"];

export function fileTrust(text: string): Trust {
  try {
    return { algorithms: publicAlgorithms, keys: createLocalJWKSet(JSON.parse(text)) };
  } catch {
    throw new BadGrant("it is not a JSON Web Key Set");
  }
}

/** The keys at a URL. They are fetched anew every minute, so that one that was withdrawn does not stay for long. */
export function urlTrust(url: string): Trust & { stop(): void } {
  const options = { timeoutDuration: timeoutMs, cooldownDuration: cooldownMs };
  const keys = createRemoteJWKSet(new URL(url), options);
  const timer = setInterval(() => {
    if (keys.jwks()) keys.reload().catch(() => {}); // if it fails, those known stay for ten minutes
  }, refreshMs).unref();
  return { algorithms: publicAlgorithms, keys, stop: () => clearInterval(timer) };
}

/** Verifies tokens, and remembers each verified token for a minute or until it expires. */
export class Verifier {
  readonly #known = new Map<string, { credentials: Credentials; until: number }>();

  constructor(
    readonly trust: Trust,
    readonly options: TokenOptions,
  ) {}

  verify(token: string): Credentials | Promise<Credentials> {
    const known = this.#known.get(token);
    if (known && known.until > Date.now()) return known.credentials;
    return this.#verified(token);
  }

  async #verified(token: string): Promise<Credentials> {
    const { issuer, audience, skewSeconds } = this.options;
    const { payload } = await jwtVerify(token, this.trust.keys, {
      algorithms: this.trust.algorithms,
      issuer,
      audience,
      clockTolerance: skewSeconds,
      requiredClaims: ["sub", "exp"],
    }).catch((error: unknown) => {
      throw refusal(error, this.options);
    });
    checkTimes(payload, skewSeconds);
    const credentials = granted(payload);
    const expiry = ((payload.exp ?? 0) + skewSeconds) * 1000;
    this.#known.delete(token);
    this.#known.set(token, { credentials, until: Math.min(expiry, Date.now() + cachedMs) });
    const [oldest] = this.#known.keys();
    if (this.#known.size > cachedMax && oldest !== undefined) this.#known.delete(oldest);
    return credentials;
  }
}

const latestSeconds = 253_402_300_799; // the end of the year 9999

/** Refuses times that make no sense: jose takes any number. */
function checkTimes({ exp = 0, iat }: JWTPayload, skewSeconds: number): void {
  const refuse = (problem: string) =>
    new CortexError("UNAUTHENTICATED", { problem: `the token ${problem}` });
  if (exp > latestSeconds) throw refuse("has a claim exp that is beyond the year 9999");
  if (iat !== undefined && iat > Date.now() / 1000 + skewSeconds)
    throw refuse(`was issued in the future, at ${timeOf(iat)}`);
}

function granted({ sub, cortex }: JWTPayload): Credentials {
  try {
    if (typeof cortex !== "object" || cortex === null)
      throw new BadGrant("it is missing, and it says what the token allows");
    return credentialsOf(sub, cortex as Record<string, unknown>);
  } catch (error) {
    if (!(error instanceof BadGrant)) throw error;
    throw new CortexError("UNAUTHENTICATED", {
      problem: `the token's claim cortex: ${error.message}`,
    });
  }
}

/** The error for a token that is not valid, in one sentence that says what is wrong with it. */
function refusal(error: unknown, { issuer, audience }: TokenOptions): CortexError {
  const as = (problem: string) =>
    new CortexError("UNAUTHENTICATED", { problem: `the token ${problem}` }, { cause: error });
  if (error instanceof errors.JWTExpired) return as(`expired at ${timeOf(error.payload.exp)}`);
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason, payload } = error;
    const got = JSON.stringify(payload[claim] ?? null).slice(0, 100);
    if (reason === "missing") return as(`has no claim ${claim}`);
    if (claim === "aud") return as(`is for the audience ${got}, and this server is "${audience}"`);
    if (claim === "iss") return as(`is from the issuer ${got}, and this server trusts "${issuer}"`);
    if (claim === "nbf") return as(`is not valid before ${timeOf(payload.nbf)}`);
    return as(`has a claim ${claim} that is not valid: ${got}`);
  }
  switch (error instanceof errors.JOSEError ? error.code : undefined) {
    case "ERR_JWS_SIGNATURE_VERIFICATION_FAILED":
    case "ERR_JWKS_NO_MATCHING_KEY":
      return as("is not signed by a key that this server trusts");
    case "ERR_JWKS_MULTIPLE_MATCHING_KEYS":
      return as("does not say in its header kid which of several keys signed it");
    case "ERR_JOSE_ALG_NOT_ALLOWED":
      return as("is signed with an algorithm that this server does not accept");
    case "ERR_JWS_INVALID":
    case "ERR_JWT_INVALID":
      return as("is not a signed JSON Web Token");
    case "ERR_JOSE_NOT_SUPPORTED":
      return as("has a header that this server does not support");
    default: // the server of the key set does not answer, or not with keys: not a fault of the token
      return new CortexError("KEYS_UNAVAILABLE", { applied: "no" }, { cause: error });
  }
}

/** The time of a claim, in seconds since 1970. */
function timeOf(seconds: unknown): string {
  const time = new Date(Number(seconds) * 1000);
  return Number.isNaN(time.getTime()) ? String(seconds) : time.toISOString();
}

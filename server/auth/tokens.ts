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

export function urlTrust(url: string): Trust {
  const options = { timeoutDuration: timeoutMs, cooldownDuration: cooldownMs };
  return { algorithms: publicAlgorithms, keys: createRemoteJWKSet(new URL(url), options) };
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
      throw refusal(error);
    });
    const credentials = granted(payload);
    const expiry = ((payload.exp ?? 0) + skewSeconds) * 1000;
    this.#known.delete(token);
    this.#known.set(token, { credentials, until: Math.min(expiry, Date.now() + cachedMs) });
    const [oldest] = this.#known.keys();
    if (this.#known.size > cachedMax && oldest !== undefined) this.#known.delete(oldest);
    return credentials;
  }
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

/** The error for a token that is not valid, with as much of the cause as its holder may know. */
function refusal(error: unknown): CortexError {
  const as = (problem: string) => new CortexError("UNAUTHENTICATED", { problem }, { cause: error });
  if (error instanceof errors.JWTExpired) return as("the token is expired");
  if (error instanceof errors.JWTClaimValidationFailed)
    return as(`the token's claim ${error.claim} is missing, or not what is asked for`);
  // The server of the key set does not answer, or answers with something else: not a fault of the token.
  const keys = ["ERR_JWKS_TIMEOUT", "ERR_JWKS_INVALID", "ERR_JOSE_GENERIC"];
  if (!(error instanceof errors.JOSEError) || keys.includes(error.code))
    return new CortexError("KEYS_UNAVAILABLE", { applied: "no" }, { cause: error });
  return as("the token cannot be trusted");
}

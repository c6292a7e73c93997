// Finds out who calls: by a key, by a token or by a client certificate. Files of keys are read again when
// they change; a file that cannot be read then is logged, and the keys known before stay.
import { readFile } from "node:fs/promises";
import type { ServerUnaryCall } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Config } from "../config/config.js";
import { type WatchedFiles, watchFiles } from "../config/watched-files.js";
import { CortexError } from "../errors/reasons.js";
import { BadGrant, type Credentials, principalOf, unlimited } from "./credentials.js";
import { holderOf, parseKeys } from "./keys.js";
import { fileTrust, secretTrust, type Trust, urlTrust, Verifier } from "./tokens.js";

/** The part of a call that says who makes it. */
export type IncomingCall = Pick<ServerUnaryCall<unknown, unknown>, "metadata" | "getAuthContext">;

export interface Authenticator {
  /**
   * The credentials of a call; throws UNAUTHENTICATED if it has none. A promise only for a token that is not
   * in the cache of verified tokens.
   */
  authenticate(call: IncomingCall): Credentials | Promise<Credentials>;
  stop(): void;
}

/** The authenticator of the settings; undefined where calls need no credentials. */
export async function authenticator(
  config: Config,
  log: Logger,
): Promise<Authenticator | undefined> {
  switch (config.auth) {
    case "none":
      return config.tlsClientCa ? byCertificate() : undefined;
    case "keys":
      return byKeys(config, log);
    case "jwt":
      return byTokens(config, log);
  }
}

/** A caller with a client certificate may do everything; the common name is its principal. */
function byCertificate(): Authenticator {
  return {
    authenticate(call) {
      const name = call.getAuthContext().sslPeerCertificate?.subject.CN;
      if (name === undefined) throw refused("its certificate has no common name");
      try {
        return unlimited(principalOf(Array.isArray(name) ? name.join(" ") : name));
      } catch (error) {
        throw error instanceof BadGrant
          ? refused(`the name of its certificate is not valid: ${error.message}`)
          : error;
      }
    },
    stop: () => {},
  };
}

async function byKeys({ authKeysFile = "" }: Config, log: Logger): Promise<Authenticator> {
  const read = async () => parseKeys(await readFile(authKeysFile, "utf8"));
  const file = await watchFiles([authKeysFile], "the keys", read, log);
  return {
    authenticate(call) {
      const holder = holderOf(file.current, tokenOf(call));
      if (!holder) throw refused("nobody has this key");
      return holder;
    },
    stop: () => file.stop(),
  };
}

async function byTokens(config: Config, log: Logger): Promise<Authenticator> {
  const { jwtSecret, jwtJwksFile, jwtJwksUrl, jwtIssuer = "", jwtAudience = "" } = config;
  const verifier = (trust: Trust) =>
    new Verifier(trust, {
      issuer: jwtIssuer,
      audience: jwtAudience,
      skewSeconds: config.jwtSkewSeconds,
    });
  const fixed = (trust: Trust, stop = () => {}): WatchedFiles<Verifier> => ({
    current: verifier(trust),
    stop,
  });
  const fromUrl = () => {
    const trust = urlTrust(jwtJwksUrl ?? "");
    return fixed(trust, trust.stop);
  };
  const file = jwtJwksFile
    ? await watchFiles(
        [jwtJwksFile],
        "the keys of tokens",
        async () => verifier(fileTrust(await readFile(jwtJwksFile, "utf8"))),
        log,
      )
    : jwtSecret
      ? fixed(secretTrust(jwtSecret))
      : fromUrl();
  return { authenticate: (call) => file.current.verify(tokenOf(call)), stop: () => file.stop() };
}

const tokenCharsMax = 16 * 1024;

/** The key or token of a call: the one in `authorization: Bearer …`. */
function tokenOf({ metadata }: IncomingCall): string {
  const [value, ...more] = metadata.get("authorization");
  if (value === undefined) throw refused("it has no header authorization");
  const [, token] = /^bearer +([\x21-\x7e]+)$/i.exec(`${value}`) ?? [];
  if (token === undefined || more.length > 0)
    throw refused("its header authorization is not: Bearer, and a key or token");
  if (token.length > tokenCharsMax)
    throw refused(`its token is longer than ${tokenCharsMax} characters`);
  return token;
}

const refused = (problem: string) => new CortexError("UNAUTHENTICATED", { problem });

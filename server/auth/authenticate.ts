// Who is calling: by a key, by a token, by a client certificate, or nobody asks. What they are checked against is read again whenever its
// file changes; what cannot be read then is logged, and what was known before stays.
import { readFile } from "node:fs/promises";
import type { ServerUnaryCall } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Config } from "../config/config.js";
import { type WatchedFiles, watchFiles } from "../config/watched-files.js";
import { CortexError } from "../errors/reasons.js";
import { anybody, BadGrant, type Credentials, principalOf } from "./credentials.js";
import { holderOf, parseKeys } from "./keys.js";
import { fileTrust, secretTrust, type Trust, urlTrust, Verifier } from "./tokens.js";

/** The call as it came, as far as it says who makes it. */
export type IncomingCall = Pick<ServerUnaryCall<unknown, unknown>, "metadata" | "getAuthContext">;

export interface Authenticator {
  /** The caller's credentials, or the reason why it has none. At once where it can be. */
  of(caller: IncomingCall): Credentials | Promise<Credentials>;
  stop(): void;
}

/** What asks for credentials; undefined where nothing does. */
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

/** Whoever has a certificate may do everything; its common name says who it is. */
function byCertificate(): Authenticator {
  return {
    of(caller) {
      const name = caller.getAuthContext().sslPeerCertificate?.subject.CN;
      if (name === undefined) throw refused("its certificate has no common name");
      try {
        return anybody(principalOf(Array.isArray(name) ? name.join(" ") : name));
      } catch (error) {
        throw error instanceof BadGrant ? refused(`of its certificate, ${error.message}`) : error;
      }
    },
    stop: () => {},
  };
}

async function byKeys({ authKeysFile = "" }: Config, log: Logger): Promise<Authenticator> {
  const read = async () => parseKeys(await readFile(authKeysFile, "utf8"));
  const file = await watchFiles([authKeysFile], "the keys", read, log);
  return {
    of(caller) {
      const holder = holderOf(file.current, tokenOf(caller));
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
  const fixed = (trust: Trust): WatchedFiles<Verifier> => ({
    current: verifier(trust),
    stop: () => {},
  });
  const file = jwtJwksFile
    ? await watchFiles(
        [jwtJwksFile],
        "the keys of tokens",
        async () => verifier(fileTrust(await readFile(jwtJwksFile, "utf8"))),
        log,
      )
    : fixed(jwtSecret ? secretTrust(jwtSecret) : urlTrust(jwtJwksUrl ?? ""));
  return { of: (caller) => file.current.verify(tokenOf(caller)), stop: () => file.stop() };
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

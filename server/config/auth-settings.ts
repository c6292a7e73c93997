// The settings of authentication and TLS.
import { flag, httpUrl, oneOf, seconds, secret, setting, text } from "./setting.js";

export const authSettings = {
  auth: setting<"none" | "keys" | "jwt">({
    env: "CORTEX_AUTH",
    default: "none",
    arg: "how",
    parse: oneOf("none", "keys", "jwt"),
    doc: "What callers must show (none, keys, jwt): nothing, a key of --auth-keys-file, or a JSON Web Token. None is for loopback addresses, and for networks that are trusted (--insecure).",
  }),
  authKeysFile: setting<string | undefined>({
    env: "CORTEX_AUTH_KEYS_FILE",
    default: undefined,
    arg: "path",
    parse: text,
    doc: "JSON file of the keys that count, as digests, and what each allows: see docs/security.md. Read again when it changes.",
  }),
  jwtSecret: setting<string | undefined>({
    env: "CORTEX_JWT_SECRET",
    default: undefined,
    arg: "text",
    parse: secret,
    doc: "Secret that tokens are signed with (HS256), at least 32 bytes. Better given by the environment: flags can be seen by others on the machine.",
  }),
  jwtJwksFile: setting<string | undefined>({
    env: "CORTEX_JWT_JWKS_FILE",
    default: undefined,
    arg: "path",
    parse: text,
    doc: "JSON Web Key Set whose keys tokens are signed with (RS256, ES256). Read again when it changes.",
  }),
  jwtJwksUrl: setting<string | undefined>({
    env: "CORTEX_JWT_JWKS_URL",
    default: undefined,
    arg: "url",
    parse: httpUrl,
    doc: "The same, from a URL; asked again when a token names a key that is not known.",
  }),
  jwtIssuer: setting<string | undefined>({
    env: "CORTEX_JWT_ISSUER",
    default: undefined,
    arg: "text",
    parse: text,
    doc: "Who must have issued a token (claim iss). Required with --auth jwt.",
  }),
  jwtAudience: setting<string | undefined>({
    env: "CORTEX_JWT_AUDIENCE",
    default: undefined,
    arg: "text",
    parse: text,
    doc: "Whom a token must be for (claim aud). Required with --auth jwt.",
  }),
  jwtSkewSeconds: setting({
    env: "CORTEX_JWT_SKEW_SECONDS",
    default: 30,
    arg: "seconds",
    parse: seconds(0, 600),
    doc: "By how much the clocks of issuer and server may differ.",
  }),
  tlsCert: setting<string | undefined>({
    env: "CORTEX_TLS_CERT",
    default: undefined,
    arg: "path",
    parse: text,
    doc: "Certificate chain (PEM) to serve TLS with. Read again when it changes.",
  }),
  tlsKey: setting<string | undefined>({
    env: "CORTEX_TLS_KEY",
    default: undefined,
    arg: "path",
    parse: text,
    doc: "Private key (PEM) of --tls-cert.",
  }),
  tlsClientCa: setting<string | undefined>({
    env: "CORTEX_TLS_CLIENT_CA",
    default: undefined,
    arg: "path",
    parse: text,
    doc: "Certificates (PEM) of those who sign for callers: every caller must then have a certificate of theirs (mutual TLS). With --auth none it says who is calling.",
  }),
  insecure: setting({
    env: "CORTEX_INSECURE",
    default: false,
    parse: flag,
    doc: "Serve an address that others can reach without asking who calls (--auth none), because the network is trusted.",
  }),
};

// The settings of authentication and TLS.
import { flag, httpUrl, oneOf, seconds, secret, setting, text } from "./setting.js";

export const authSettings = {
  auth: setting<"none" | "keys" | "jwt">({
    env: "CORTEX_AUTH",
    default: "none",
    arg: "how",
    parse: oneOf("none", "keys", "jwt"),
    doc: "Credentials that callers need (none, keys, jwt): none, a key of --auth-keys-file, or a JSON Web Token. none is for loopback addresses, and for networks that are trusted (--insecure).",
  }),
  authKeysFile: setting<string | undefined>({
    env: "CORTEX_AUTH_KEYS_FILE",
    default: undefined,
    arg: "path",
    parse: text,
    doc: "JSON file with the digests of the valid keys and what each key allows: see docs/security.md. Read again when it changes.",
  }),
  requireTenant: setting({
    env: "CORTEX_REQUIRE_TENANT",
    default: false,
    parse: flag,
    doc: "Refuse calls that name no tenant (header x-tenant-id). Otherwise they are for the only tenant of their credentials, or for the tenant with the empty name.",
  }),
  jwtSecret: setting<string | undefined>({
    env: "CORTEX_JWT_SECRET",
    default: undefined,
    arg: "text",
    parse: secret,
    doc: "Secret that tokens are signed with (HS256), at least 32 bytes. Better set in the environment: other users of the machine can see flags.",
  }),
  jwtJwksFile: setting<string | undefined>({
    env: "CORTEX_JWT_JWKS_FILE",
    default: undefined,
    arg: "path",
    parse: text,
    doc: "JSON Web Key Set with the keys that sign tokens (RS256, ES256). Read again when it changes.",
  }),
  jwtJwksUrl: setting<string | undefined>({
    env: "CORTEX_JWT_JWKS_URL",
    default: undefined,
    arg: "url",
    parse: httpUrl,
    doc: "URL of such a key set. It is fetched again when a token names an unknown key.",
  }),
  jwtIssuer: setting<string | undefined>({
    env: "CORTEX_JWT_ISSUER",
    default: undefined,
    arg: "text",
    parse: text,
    doc: "Issuer that tokens must have (claim iss). Required with --auth jwt.",
  }),
  jwtAudience: setting<string | undefined>({
    env: "CORTEX_JWT_AUDIENCE",
    default: undefined,
    arg: "text",
    parse: text,
    doc: "Audience that tokens must have (claim aud). Required with --auth jwt.",
  }),
  jwtSkewSeconds: setting({
    env: "CORTEX_JWT_SKEW_SECONDS",
    default: 30,
    arg: "seconds",
    parse: seconds(0, 600),
    doc: "Largest difference between the clocks of issuer and server.",
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
    doc: "Certificates (PEM) of the authorities that sign client certificates. Every caller then needs such a certificate (mutual TLS). With --auth none it says who calls.",
  }),
  insecure: setting({
    env: "CORTEX_INSECURE",
    default: false,
    parse: flag,
    doc: "Allow --auth none on an address that other machines can reach, because the network is trusted.",
  }),
};

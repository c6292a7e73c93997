// The log: pino, on stderr. Errors are logged without the parameters and details of statements, which hold
// users' data.
import pino, { type Logger } from "pino";
import pretty from "pino-pretty";
import type { Config } from "./config/config.js";
import { codeOf } from "./errors/sqlstate.js";

export function createLog({ logLevel, logFormat }: Config): Logger {
  const options = {
    level: logLevel,
    base: { pid: process.pid },
    serializers: { err: withoutData },
  };
  const readable = logFormat === "pretty" || (logFormat === "auto" && process.stderr.isTTY);
  return readable
    ? pino(
        options,
        pretty({ destination: 2, sync: true, singleLine: true, ignore: "pid,hostname" }),
      )
    : pino(options, pino.destination({ fd: 2, sync: true }));
}

function withoutData(error: unknown) {
  if (!(error instanceof Error)) return { type: typeof error };
  const code = codeOf(error);
  // The messages of Postgres about bad data (class 22) quote the data.
  const message = code?.startsWith("22") ? "(not shown: it may hold values)" : error.message;
  const stack = error.stack?.replace(error.message, () => message);
  return { type: error.name, code, message, stack };
}

// The log: pino, on stderr. Errors are logged without the parameters and details of statements, which hold what users store.
import pino, { type Logger } from "pino";
import pretty from "pino-pretty";
import type { Config } from "./config/config.js";
import { codeOf } from "./errors/reasons.js";

export function createLog({ logLevel, logFormat }: Config): Logger {
  const options = { level: logLevel, base: { pid: process.pid }, serializers: { err: bare } };
  const readable = logFormat === "pretty" || (logFormat === "auto" && process.stderr.isTTY);
  return readable
    ? pino(options, pretty({ destination: 2, sync: true, ignore: "pid,hostname" }))
    : pino(options, pino.destination({ fd: 2, sync: true }));
}

function bare(error: unknown) {
  if (!(error instanceof Error)) return { type: typeof error };
  const code = codeOf(error);
  // What Postgres says of bad data (class 22) quotes it.
  const message = code?.startsWith("22") ? "(not shown: it may hold values)" : error.message;
  const stack = error.stack?.replace(error.message, () => message);
  return { type: error.name, code, message, stack };
}

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
  const stderr = pino.destination({ fd: 2, sync: true });
  const format = readable
    ? pretty.prettyFactory({ singleLine: true, ignore: "pid,hostname" })
    : (line: string) => line;
  return pino(options, { write: (line) => void stderr.write(visible(format(line))) });
}

// C1 controls, line separators, and signs that change the direction of text: a name may hold them, and on a
// screen they could make a line look like another. JSON escapes only the other controls.
const unseen = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

const visible = (text: string) =>
  text.replace(unseen, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);

function withoutData(error: unknown) {
  if (!(error instanceof Error)) return { type: typeof error };
  const code = codeOf(error);
  // The messages of Postgres about bad data (class 22) quote the data.
  const message = code?.startsWith("22") ? "(not shown: it may hold values)" : error.message;
  const stack = error.stack?.replace(error.message, () => message);
  return { type: error.name, code, message, stack };
}

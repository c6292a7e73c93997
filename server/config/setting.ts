// The type of a setting, and the parsers of its value. Each parser says which values it takes.

export type Parse<T> = (text: string) => T;

/** A value that the setting does not take. The message completes "--flag …". */
export class BadValue extends Error {}

export interface Setting<T> {
  env: string;
  default: T;
  arg?: string;
  doc: string;
  parse: Parse<T>;
}

export const setting = <T>(s: Setting<T>) => s;

export const whole =
  (min: number, max: number): Parse<number> =>
  (text) => {
    const n = Number(text);
    if (/^\d+$/.test(text) && n >= min && n <= max) return n;
    throw new BadValue(`takes a whole number from ${min} to ${max}`);
  };
export const seconds =
  (min: number, max: number): Parse<number> =>
  (text) => {
    const n = Number(text);
    if (/^\d+(\.\d+)?$/.test(text) && n >= min && n <= max) return n;
    throw new BadValue(`takes a number of seconds from ${min} to ${max}`);
  };
export const oneOf =
  <const T extends string>(...choices: T[]): Parse<T> =>
  (text) => {
    const choice = choices.find((c) => c === text);
    if (choice !== undefined) return choice;
    throw new BadValue(`takes one of ${choices.join(", ")}`);
  };
export const flag: Parse<boolean> = (text) => oneOf("true", "false")(text) === "true";
export const text: Parse<string> = (value) => {
  if (value !== "") return value;
  throw new BadValue("takes a text that is not empty");
};
export const listen: Parse<string> = (value) => {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):(\d{1,5})$/.exec(value);
  if (match && Number(match[2]) <= 65535) return value;
  throw new BadValue("takes HOST:PORT, such as 127.0.0.1:50051, 0.0.0.0:50051 or [::1]:0");
};
export const metricsAddress: Parse<string> = (value) => {
  const match = /^[^:[\]\s]+:(\d{1,5})$/.exec(value);
  if (match && Number(match[1]) >= 1 && Number(match[1]) <= 65535) return value;
  throw new BadValue("takes HOST:PORT with a port from 1 to 65535, such as 127.0.0.1:9464");
};
export const databaseUrl: Parse<string> = (value) => {
  if (/^postgres(ql)?:\/\/./.test(value) && URL.canParse(value)) return value;
  throw new BadValue("takes a URL such as postgres://user:password@host:5432/database");
};

export const language: Parse<string> = (value) => {
  if (/^[a-z][a-z0-9_]{0,62}$/.test(value)) return value;
  throw new BadValue(
    "takes the name of a text search configuration of Postgres, such as english or simple",
  );
};

const secretBytesMin = 32;

export const secret: Parse<string> = (value) => {
  if (Buffer.byteLength(value) >= secretBytesMin) return value;
  throw new BadValue(`takes a secret of at least ${secretBytesMin} bytes`);
};

export const httpUrl: Parse<string> = (value) => {
  const url = /^https?:\/\/./.test(value) && URL.canParse(value) ? new URL(value) : undefined;
  if (url && url.username + url.password === "") return value;
  throw new BadValue(
    "takes a URL that begins with https:// or http://, without a user and password",
  );
};

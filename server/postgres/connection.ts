// How a connection to Postgres is opened, and the SQL fragments that all folders use.
import { connect as dial, type Socket } from "node:net";
import postgres from "postgres";

export type Sql = postgres.Sql;
export type Fragment = postgres.PendingQuery<postgres.Row[]>;

/** Runs one statement and gives its rows. Over a pool, each statement is a transaction of its own. */
export type Run = <T extends object>(build: (sql: Sql) => Fragment) => Promise<T[]>;

// The driver documents max_pipeline, but its types lack it.
type Options = postgres.Options<Record<string, never>> & { max_pipeline?: number };

/** The open sockets of a connection pool of the driver. */
export type Sockets = Set<{ destroy(): void }>;

interface SocketOptions {
  host: string[];
  port: number[];
  path?: string | false;
}

function openSocket({ host, port, path }: SocketOptions, sockets: Sockets): Socket {
  const [hostname = "localhost"] = host;
  const socket = path ? dial(path) : dial({ host: hostname, port: port[0] ?? 5432 });
  sockets.add(socket);
  socket.on("close", () => sockets.delete(socket));
  return socket;
}

/**
 * The types of our parameters that are arrays: of text, int, bigint, float8, boolean and xid8. The driver (3.4.9) can ask the
 * database for them on each new connection, but nobody awaits the answer: if Postgres ends meanwhile, the rejected
 * promise ends our process. Results have no arrays.
 */
const arrayTypes = [1009, 1007, 1016, 1022, 1000, 271];

/** An array as Postgres reads it; elements of arrays in arrays too. */
function arrayText(value: unknown): string {
  if (value === undefined) throw new TypeError("an element of the array is undefined");
  if (Array.isArray(value)) return `{${value.map(arrayText).join(",")}}`;
  return value === null ? "null" : `"${String(value).replace(/[\\"]/g, "\\$&")}"`;
}

/** A time as Postgres writes it in UTC: 2026-01-31 23:59:59.123+00. */
function readTime(text: string): Date {
  const digit = (at: number) => text.charCodeAt(at) - 48;
  const two = (at: number) => 10 * digit(at) + digit(at + 1);
  const isUsual =
    text.length >= 22 &&
    text[4] === "-" &&
    text[10] === " " &&
    text.endsWith("+00") &&
    text.length <= 26 &&
    !text.startsWith("00");
  if (!isUsual) return new Date(text);
  let ms = 0;
  for (let at = 20, factor = 100; at < text.length - 3; at++, factor /= 10)
    ms += factor * digit(at);
  return new Date(
    Date.UTC(100 * two(0) + two(2), two(5) - 1, two(8), two(11), two(14), two(17), Math.floor(ms)),
  );
}

/**
 * Opens a connection pool of the driver. As in libpq, the URL may name the directory of a Unix socket:
 * `postgres://user@/database?host=/directory`. The open sockets are kept in `sockets`: the driver itself can
 * close a connection only by a message, which nobody reads if the connection is silent.
 */
export function connect(url: string, options: Options, sockets?: Sockets): Sql {
  const parsed = new URL(url);
  const socketDirectory = parsed.searchParams.get("host");
  parsed.searchParams.delete("host");
  return postgres(parsed.href, {
    connect_timeout: 5,
    max_lifetime: null,
    backoff: (retries: number) => Math.min(0.05 * 2 ** retries, 0.2), // seconds; a caller is waiting
    onnotice: () => {},
    fetch_types: false,
    types: {
      // As the driver's own, but for how a time is read: it takes a tenth of the time.
      date: {
        to: 1184,
        from: [1082, 1114, 1184],
        serialize: (value: unknown) =>
          (value instanceof Date ? value : new Date(String(value))).toISOString(),
        parse: readTime,
      },
      arrays: {
        to: 0,
        from: arrayTypes,
        parse: (text: string) => text,
        serialize: (value: unknown) => (Array.isArray(value) ? arrayText(value) : String(value)),
      },
    },
    ...(socketDirectory && { host: socketDirectory }),
    ...(sockets && { socket: (driver: SocketOptions) => openSocket(driver, sockets) }),
    ...options,
    connection: { ...ownSession, ...options.connection } as Options["connection"] & object,
  });
}

/**
 * The session parameters that every connection starts with, so that none depends on the defaults of the
 * database or the role: how values are written and compared, where tables are, how long to wait. (The driver
 * leaves out a parameter that is the number 0.)
 */
const ownSession = {
  search_path: '"$user", public',
  TimeZone: "UTC",
  DateStyle: "ISO",
  IntervalStyle: "postgres",
  extra_float_digits: 1,
  bytea_output: "hex",
  standard_conforming_strings: "on",
  array_nulls: "on",
  transform_null_equals: "off",
  gin_fuzzy_search_limit: "0",
  default_transaction_isolation: "read committed",
  default_transaction_deferrable: "off",
  statement_timeout: "0",
  lock_timeout: "0",
  idle_in_transaction_session_timeout: "0",
  idle_session_timeout: "0",
  jit: "off", // our statements take microseconds, compiling one takes milliseconds
} as const;

/**
 * Session parameters for connections whose statements look rows up by key. Each statement is planned once and
 * the plan is reused: planning a write takes 1.5 ms, running it 0.3 ms. Scans are off, because a plan made
 * while a table was empty would later read the whole table.
 */
export const indexPlans = {
  plan_cache_mode: "force_generic_plan",
  enable_seqscan: "off",
  enable_bitmapscan: "off",
  enable_mergejoin: "off",
};

/** The schema of the views that show each tenant only its own rows. Migration 0005 made it, later ones moved it, 0019 the last. */
export const viewSchema = "tenant_tables";

/** Session parameters for connections of calls: a table's name then means its view. */
export const tenantViews = { search_path: `${viewSchema}, "$user", public` };

/**
 * The database's time, in whole milliseconds, at the moment when this expression is evaluated. That may be
 * long after the statement began, for example if the statement first waited for a row lock.
 */
export const now = (sql: Sql): Fragment => sql`date_trunc('milliseconds', clock_timestamp())`;

/** Joins at least one fragment, with a separator between each two. */
export const joinFragments = (sql: Sql, parts: Fragment[], separator: Fragment): Fragment =>
  parts.reduce((all, part) => sql`${all} ${separator} ${part}`);

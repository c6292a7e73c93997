// Says in one sentence why Postgres cannot be used, where it is, and what to do. No sentence shows a
// password.
import { userInfo } from "node:os";
import { codeOf, isDatabaseLost } from "../errors/sqlstate.js";

/** Where a database is, from its URL. */
interface Place {
  /** HOST:PORT, or the directory of a Unix socket. */
  address: string;
  host: string;
  database: string;
  role: string;
  /** True if the URL asks for TLS. */
  asksForTls: boolean;
}

export function placeOf(url: string): Place {
  const { hostname, port, pathname, username, searchParams } = new URL(url);
  const directory = searchParams.get("host");
  const host = directory ?? (hostname || "localhost");
  const role = decodeURIComponent(username) || process.env.PGUSER || userInfo().username; // as the driver does
  return {
    address: directory ?? `${host}:${port || "5432"}`,
    host,
    database: decodeURIComponent(pathname.slice(1)) || role,
    role,
    asksForTls: !["disable", "allow", null].includes(searchParams.get("sslmode")),
  };
}

type Sentence = (place: Place, message: string) => string;

const unreachable: Sentence = ({ address }, message) =>
  `Postgres at ${address} cannot be reached (${message}): check the address, and the network between`;

const sentences: Record<string, Sentence> = {
  ECONNREFUSED: ({ address }) =>
    `no Postgres answers at ${address} (ECONNREFUSED): check that it runs and listens there`,
  ENOENT: ({ address }) =>
    `there is no socket of Postgres in ${address} (ENOENT): check that it runs and has its socket there`,
  EACCES: ({ address }) =>
    `the socket of Postgres in ${address} may not be opened (EACCES): give this server's user the right to`,
  ENOTFOUND: ({ host }) =>
    `the host ${host} of the database is unknown (ENOTFOUND): check its name`,
  EAI_AGAIN: ({ host }) =>
    `the host ${host} of the database cannot be looked up (EAI_AGAIN): check its name, and the name server`,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  ETIMEDOUT: unreachable,
  CONNECT_TIMEOUT: ({ address }) =>
    `Postgres at ${address} did not answer within 5 seconds: check the address, and the firewall between`,
  ECONNRESET: ({ address, asksForTls }) =>
    asksForTls
      ? `Postgres at ${address} closed the connection (ECONNRESET): the URL asks for TLS (sslmode), and this Postgres may have none`
      : `Postgres at ${address} closed the connection (ECONNRESET): check that it is Postgres, and whether it asks for TLS`,
  "42704": ({ address }, message) =>
    `Postgres at ${address} does not know what it is asked for (${message}): check the parameters after the ? of the URL`,
  "28P01": ({ address, role }) =>
    `Postgres at ${address} refused the password of the role ${role}: check the password in the URL`,
  "28000": ({ address, database, role }, message) =>
    `Postgres at ${address} does not let the role ${role} use the database ${database} (${message}): check the role, and pg_hba.conf`,
  "3D000": ({ address, database, role }) =>
    `Postgres at ${address} has no database ${database}: create it, for example with: create database ${quoted(database)} owner ${quoted(role)}`,
  "42501": ({ address, database, role }, message) =>
    `the role ${role} lacks a right in the database ${database} at ${address} (${message}): make it the owner, for example with: alter database ${quoted(database)} owner to ${quoted(role)}`,
  "3F000": ({ address, database, role }) =>
    `the role ${role} may use no schema of the database ${database} at ${address}: let it create tables in the schema public`,
  "53300": ({ address, database, role }, message) =>
    `Postgres at ${address} has no connection left for the role ${role} and the database ${database} (${message}): raise its limit, or lower --pool-size, --transactions-max or --workers`,
  "57P03": ({ address }, message) => `Postgres at ${address} takes no calls yet (${message})`,
  "25006": ({ address, database }) =>
    `the database ${database} at ${address} is read-only, as on a replica: give the address of the primary`,
  "53200": ({ address }) =>
    `Postgres at ${address} has no room for more locks, or no memory: raise max_locks_per_transaction`,
  "53100": ({ address }) => `Postgres at ${address} has no disk space left: free some`,
  "58030": ({ address }, message) =>
    `Postgres at ${address} cannot read or write its files (${message}): check its disk`,
  "58P01": ({ address }, message) =>
    `Postgres at ${address} lacks a file (${message}): install its contrib modules (pg_trgm, btree_gin)`,
  "0A000": ({ address }, message) =>
    `Postgres at ${address} lacks a feature (${message}): it must be Postgres 15 or newer, with its contrib modules`,
  "57P01": ({ address }) =>
    `Postgres at ${address} stops, or an administrator ended the connection`,
  "57P02": ({ address }) => `Postgres at ${address} crashed and recovers`,
  CONNECTION_CLOSED: ({ address }) => `Postgres at ${address} closed the connection`,
};

const quoted = (name: string) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name}"`);

/** Says why the database of the URL cannot be used; undefined if the error is of another kind. */
export function explain(error: unknown, url: string): string | undefined {
  const code = codeOf(error);
  const place = placeOf(url);
  // The driver puts the address and the code into some of its messages, so they would be said twice.
  const message = error instanceof Error ? error.message.replaceAll("\n", " ") : "";
  if (code !== undefined && code in sentences) return sentences[code]?.(place, message);
  if (code?.startsWith("08"))
    return `the connection to Postgres at ${place.address} failed (${message})`;
  if (code?.startsWith("28")) return sentences["28000"]?.(place, message);
  if (code !== undefined && /^(ERR_(TLS|SSL)|DEPTH_|CERT_|UNABLE_TO_|SELF_SIGNED)/.test(code))
    return `Postgres at ${place.address} and this server do not agree on TLS (${message}): check sslmode in the URL, and the certificate`;
  return undefined;
}

/** True for an error that may pass by itself: Postgres is not up yet, or has no connection free. */
export const mayPass = (error: unknown): boolean =>
  isDatabaseLost(error) && !lasting.has(codeOf(error) ?? "");

// The login is refused, the database does not exist, or its socket may not be opened.
const lasting = new Set(["28000", "28P01", "3D000", "EACCES"]);

// The shape of credentials, which key files and tokens share.
import * as check from "../validation/fields.js";
import { pathOf } from "../validation/scope.js";

export const permissions = ["read", "write", "purge", "admin"] as const;
export type Permission = (typeof permissions)[number];

export interface Credentials {
  /** The principal; undefined if callers need no credentials. */
  principal: string | undefined;
  /** The tenants it may name; undefined: all. */
  tenants: ReadonlySet<string> | undefined;
  permissions: ReadonlySet<Permission>;
  /**
   * The prefixes that names must have; undefined: all are in reach. If the grant has prefixes for some kinds of
   * names, nothing of the other kinds is in reach.
   */
  reach: Reach | undefined;
  /** The paths of scopes (validation/scope.ts) with one of which the scope of a call must begin; undefined: any, or none. */
  scopes: readonly string[] | undefined;
}

export interface Reach {
  namespaces: readonly string[];
  types: readonly string[];
  claims: readonly string[];
  channels: readonly string[];
  streams: readonly string[];
}

/** The kinds of names that credentials may limit, as a grant calls them. */
export const reachNames: readonly (keyof Reach)[] = [
  "namespaces",
  "types",
  "claims",
  "channels",
  "streams",
];

/** Credentials that allow everything. */
export function unlimited(principal?: string): Credentials {
  const permissions = new Set<Permission>(["admin"]);
  return { principal, tenants: undefined, permissions, reach: undefined, scopes: undefined };
}

/** The credentials of every call where the server asks for none. */
export const anonymous = unlimited();

/** True if both say the same. */
export const areSame = (a: Credentials, b: Credentials): boolean =>
  a === b || textOf(a) === textOf(b);

const textOf = ({ principal, tenants, permissions, reach, scopes }: Credentials): string =>
  JSON.stringify([
    principal,
    tenants && [...tenants].sort(),
    [...permissions].sort(),
    reach && reachNames.map((name) => [...reach[name]].sort()),
    scopes && [...scopes].sort(),
  ]);

export const isAllowed = ({ permissions }: Credentials, permission: Permission): boolean =>
  permissions.has(permission) || permissions.has("admin");

/** The grant of a key or a token is malformed; the message says how. */
export class BadGrant extends Error {}

const principalCharsMax = 256;

/**
 * Parses the grant `{ tenants: ["acme"] or "*", permissions: ["read", …], namespaces?: […], types?: […], claims?: […],
 * channels?: […], streams?: […], scopes?: [[["organization", "org_123"], …], …] }` of a principal.
 */
export function credentialsOf(principal: unknown, grant: Record<string, unknown>): Credentials {
  const { tenants, permissions: given, scopes, ...prefixes } = grant;
  const unknown = Object.keys(prefixes).find((name) => !reachNames.includes(name as keyof Reach));
  if (unknown !== undefined)
    throw new BadGrant(
      `it has a field ${JSON.stringify(unknown.slice(0, 100))}, where there can be tenants, permissions, scopes, ${reachNames.join(", ")}`,
    );
  const allowed = texts(given, "permissions");
  const stranger = allowed.find((one) => !permissions.includes(one as Permission));
  if (stranger !== undefined)
    throw new BadGrant(
      `it has no permission ${JSON.stringify(stranger)}: there are ${permissions.join(", ")}`,
    );
  return {
    principal: principalOf(principal),
    tenants:
      tenants === "*" ? undefined : new Set(texts(tenants, "tenants", ', nor "*"').map(tenantOf)),
    permissions: new Set(allowed as Permission[]),
    reach: Object.keys(prefixes).length > 0 ? reachOf(prefixes) : undefined,
    scopes: scopes === undefined ? undefined : scopesOf(scopes),
  };
}

function reachOf(prefixes: Record<string, unknown>): Reach {
  const of = (name: keyof Reach) =>
    prefixes[name] === undefined ? [] : texts(prefixes[name], name);
  const channels = of("channels");
  const pattern = channels.find((prefix) => prefix.includes("*"));
  if (pattern !== undefined)
    throw new BadGrant(
      `its channels are prefixes, without *: ${JSON.stringify(pattern.slice(0, 100))}`,
    );
  return {
    namespaces: of("namespaces"),
    types: of("types"),
    claims: of("claims"),
    channels,
    streams: of("streams"),
  };
}

/** The paths of scopes: lists of steps, each a key and an identifier. */
function scopesOf(paths: unknown): string[] {
  const isStep = (step: unknown): step is [string, string] =>
    Array.isArray(step) && step.length === 2 && step.every((part) => typeof part === "string");
  const isPath = (path: unknown): path is [string, string][] =>
    Array.isArray(path) && path.length > 0 && path.every(isStep);
  if (!Array.isArray(paths) || !paths.every(isPath))
    throw new BadGrant(
      'its scopes are not a list of paths, such as [[["organization", "org_123"], ["workspace", "ws_456"]]]',
    );
  return paths.map((path) => {
    try {
      return pathOf(path.map(([key, identifier]) => ({ key, identifier })));
    } catch (error) {
      throw new BadGrant(`one of its scopes is not valid: ${(error as Error).message}`);
    }
  });
}

/** Checks the principal that a key, a token or a certificate names. */
export function principalOf(principal: unknown): string {
  if (typeof principal !== "string" || !/^[^\p{Cc}]+$/u.test(principal))
    throw new BadGrant("its principal is not a text, is empty, or holds a control character");
  if (principal.length > principalCharsMax)
    throw new BadGrant(`its principal is longer than ${principalCharsMax} characters`);
  return principal;
}

function tenantOf(id: string): string {
  try {
    return check.tenant([id]);
  } catch {
    throw new BadGrant(`it names an invalid tenant id: ${JSON.stringify(id.slice(0, 100))}`);
  }
}

function texts(list: unknown, name: string, nor = ""): string[] {
  if (Array.isArray(list) && list.every((one) => typeof one === "string")) return list;
  throw new BadGrant(`its ${name} are not a list of texts${nor}`);
}

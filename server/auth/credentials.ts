// What credentials allow, in the one shape that key files and tokens share.

import * as check from "../validation/fields.js";

export const permissions = ["read", "write", "purge", "admin"] as const;
export type Permission = (typeof permissions)[number];

export interface Credentials {
  /** Who it is; undefined where nobody says who they are. */
  principal: string | undefined;
  /** Which tenants it may name; undefined: all. */
  tenants: ReadonlySet<string> | undefined;
  permissions: ReadonlySet<Permission>;
  /** What namespaces and types must begin with. Where either is given, what the other does not name is out of reach; undefined: all of both. */
  reach: Reach | undefined;
}

export interface Reach {
  namespaces: readonly string[];
  types: readonly string[];
}

/** The credentials of whoever may do everything. */
export function anybody(principal?: string): Credentials {
  const permissions = new Set<Permission>(["admin"]);
  return { principal, tenants: undefined, permissions, reach: undefined };
}

/** Where nobody is asked. */
export const nobody = anybody();

export const isAllowed = ({ permissions }: Credentials, permission: Permission): boolean =>
  permissions.has(permission) || permissions.has("admin");

/** What a key or a token says it allows is not what it should be. */
export class BadGrant extends Error {}

const principalCharsMax = 256;

/** `{ tenants: ["acme"] or "*", permissions: ["read", …], namespaces?: […], types?: […] }` for a principal. */
export function credentialsOf(principal: unknown, grant: Record<string, unknown>): Credentials {
  const { tenants, permissions: given, namespaces, types } = grant;
  const allowed = texts(given, "permissions");
  const stranger = allowed.find((one) => !permissions.includes(one as Permission));
  if (stranger !== undefined)
    throw new BadGrant(
      `it has no permission ${JSON.stringify(stranger)}: there are ${permissions.join(", ")}`,
    );
  const limited = namespaces !== undefined || types !== undefined;
  const prefixes = (list: unknown, name: string) => (list === undefined ? [] : texts(list, name));
  return {
    principal: principalOf(principal),
    tenants:
      tenants === "*" ? undefined : new Set(texts(tenants, "tenants", ', nor "*"').map(tenantOf)),
    permissions: new Set(allowed as Permission[]),
    reach: limited
      ? { namespaces: prefixes(namespaces, "namespaces"), types: prefixes(types, "types") }
      : undefined,
  };
}

/** Who it is, as a key, a token or a certificate says. */
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
    throw new BadGrant(
      `it names a tenant that there cannot be: ${JSON.stringify(id.slice(0, 100))}`,
    );
  }
}

function texts(list: unknown, name: string, nor = ""): string[] {
  if (Array.isArray(list) && list.every((one) => typeof one === "string")) return list;
  throw new BadGrant(`its ${name} are not a list of texts${nor}`);
}

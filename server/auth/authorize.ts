// What a call needs: a permission for each RPC, here for all of them, and the namespaces and types that its request names. They are found
// by reflection, so that no handler can forget them.
import type { DescField, DescMethod, DescService, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Users } from "../../gen/cortex/users/v1/users_pb.js";
import { CortexError, type Details } from "../errors/reasons.js";
import { type Credentials, isAllowed, type Permission, type Reach } from "./credentials.js";

/**
 * Where a request may say nothing of namespaces or types, and mean all of them: `types`: those of its filter, `prefix`: its prefix is one
 * of namespaces, `all`: it means all, whatever it says. Who does not reach everything must name what is in reach, or may not at all.
 */
type Broad = "types" | "prefix" | "all";
type Rule = Permission | [Permission, Broad];
type Rules<S extends DescService> = Record<keyof S["method"], Rule>;

const mutable: Rules<typeof MutableStore> = {
  get: "read",
  getRecord: "read",
  exists: "read",
  batchGet: "read",
  list: "read",
  count: "read",
  listNamespaces: ["read", "prefix"],
  set: "write",
  delete: "write",
  update: "write",
  batchSet: "write",
  commit: "write",
  transact: "write",
  purgeNamespace: "purge",
  purgeMany: "purge",
  purgeAll: ["purge", "all"],
};

const immutable: Rules<typeof ImmutableStore> = {
  get: "read",
  getVersion: "read",
  getAtTimestamp: "read",
  getHistory: "read",
  list: ["read", "types"],
  search: ["read", "types"],
  count: ["read", "types"],
  verifyHistory: "read",
  getRetention: "read",
  store: "write",
  purge: "purge",
  purgeMany: ["purge", "types"],
  purgeVersions: "purge",
};

const users: Rules<typeof Users> = {
  get: "read",
  list: "read",
  create: "write",
  upsert: "write",
  update: "write",
  delete: ["admin", "all"],
  export: ["admin", "all"],
};

const rules = new Map<string, Record<string, Rule>>([
  [MutableStore.typeName, mutable],
  [ImmutableStore.typeName, immutable],
  [Users.typeName, users],
]);

const denied = (problem: string, details: Details = {}) =>
  new CortexError("PERMISSION_DENIED", { problem, ...details });

/** The tenant of a call, of those that its credentials may name. Who may name one only need not. */
export function tenantOf({ tenants }: Credentials, asked: string): string {
  if (!tenants || tenants.has(asked)) return asked;
  const [only] = tenants;
  if (asked === "" && tenants.size === 1 && only !== undefined) return only;
  throw denied(
    asked === ""
      ? "it must say in x-tenant-id for which tenant it is"
      : "the tenant is out of reach",
    { tenant: asked },
  );
}

/** An RPC with what it needs. */
export interface Endpoint {
  method: DescMethod;
  /** Its name on the wire. */
  name: string;
  permission: Permission;
  broad: Broad | undefined;
}

export function endpointOf(method: DescMethod): Endpoint {
  const rule = rules.get(method.parent.typeName)?.[method.localName];
  if (rule === undefined) throw new Error(`nobody says what ${method.name} needs`);
  const [permission, broad] = typeof rule === "string" ? [rule] : rule;
  return { method, name: `${method.parent.typeName}/${method.name}`, permission, broad };
}

/** Refuses what the credentials do not allow: the RPC, and what its request reaches for. */
export function authorize(credentials: Credentials, endpoint: Endpoint, request: unknown): void {
  const { method, permission, broad } = endpoint;
  if (!isAllowed(credentials, permission))
    throw denied(`${method.name} needs the permission ${permission}`, { permission });
  const { reach } = credentials;
  if (!reach) return;
  if (broad === "all") throw denied(`${method.name} is for who reaches all namespaces and types`);
  if (request === undefined || request instanceof CortexError) return;
  authorizeReach(reach, method, request as Message, broad);
}

/** Refuses a further message of a call that reads without the permission to, or names what is out of reach. */
export function authorizeMessage(
  credentials: Credentials,
  endpoint: Endpoint,
  message: Message,
): void {
  const { case: kind } = (message as { message?: { case?: string } }).message ?? {};
  if ((kind === "read" || kind === "list") && !isAllowed(credentials, "read"))
    throw denied(`${endpoint.method.name} needs the permission read to ${kind}`, {
      permission: "read",
    });
  if (credentials.reach) authorizeReach(credentials.reach, endpoint.method, message);
}

/** Refuses a message that names a namespace or a type out of reach. */
function authorizeReach(reach: Reach, method: DescMethod, message: Message, broad?: Broad): void {
  let types = 0;
  let prefixes = 0;
  for (const { field, text } of textsOf(reflect(method.input, message))) {
    const within = (allowed: readonly string[]) => {
      if (allowed.some((prefix) => text.startsWith(prefix))) return;
      throw denied(`the ${field.name} it names is out of reach`, { field: field.name });
    };
    if (field.name === "namespace" || (broad === "prefix" && field.name === "prefix"))
      within(reach.namespaces);
    else if (ofRecords(field) && (field.name === "type" || field.name === "types"))
      within(reach.types);
    types += field.name === "types" ? 1 : 0;
    prefixes += field.name === "prefix" ? 1 : 0;
  }
  if (broad === "types" && types === 0)
    throw denied("it must name the types it asks for, in the filter", { field: "filter.types" });
  if (broad === "prefix" && prefixes === 0)
    throw denied("it must name the prefix of the namespaces it asks for", { field: "prefix" });
}

const ofRecords = (field: DescField): boolean =>
  field.parent.file.proto.package === ImmutableStore.file.proto.package;

/** The texts in a message, however deep, with their fields. */
function* textsOf(message: ReflectMessage): Generator<{ field: DescField; text: string }> {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    const value: unknown = message.get(field);
    if (field.fieldKind === "message") yield* textsOf(value as ReflectMessage);
    else if (field.fieldKind === "list")
      for (const one of value as Iterable<unknown>)
        if (field.listKind === "message") yield* textsOf(one as ReflectMessage);
        else yield { field, text: `${one}` };
    else if (field.fieldKind === "scalar" && typeof value === "string")
      yield { field, text: value };
  }
}

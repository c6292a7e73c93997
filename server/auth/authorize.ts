// Authorizes a call: its RPC needs a permission, and its request may name only data within the credentials'
// reach. The proto declares which fields name data (cortex.options.v1.reach), so no handler can forget one.
import {
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  getOption,
  type Message,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import {
  Reach as ReachKind,
  reach as reachOption,
} from "../../gen/cortex/options/v1/options_pb.js";
import { CortexError, type Details, quote } from "../errors/reasons.js";
import { isWithin } from "../validation/scope.js";
import { type Credentials, isAllowed, type Permission, type Reach } from "./credentials.js";

/**
 * How a request may mean more than it names. `named`: a request that names nothing means everything, so
 * credentials with a limited reach must name something. `all`: it always means everything, so such
 * credentials may not call the RPC.
 */
type Breadth = "named" | "all";
type Rule = Permission | readonly (Permission | Breadth)[];

/** The permissions that each RPC of a service needs, and its breadth. */
export type Permissions<S extends DescService> = Record<keyof S["method"], Rule>;

/** An RPC with what it needs. */
export interface Endpoint {
  method: DescMethod;
  /** Its name on the wire. */
  name: string;
  /** It needs all of them. */
  permissions: readonly Permission[];
  breadth: Breadth | undefined;
  /**
   * True if it waits for what others do. Then it ends as soon as the server stops, and its stream asks for room
   * (Call.inRoom) only when it has something to send.
   */
  waits: boolean;
}

export function endpointOf(method: DescMethod, rule: Rule, waits = false): Endpoint {
  const words = typeof rule === "string" ? [rule] : rule;
  return {
    method,
    name: `${method.parent.typeName}/${method.name}`,
    permissions: words.filter((word) => !isBreadth(word)),
    breadth: words.find(isBreadth),
    waits,
  };
}

const isBreadth = (word: Permission | Breadth): word is Breadth =>
  word === "named" || word === "all";

const denied = (problem: string, details: Details = {}) =>
  new CortexError("PERMISSION_DENIED", { problem, ...details });

/** The tenant of a call: the one it asks for, or the only one that its credentials may name. */
export function tenantOf({ tenants }: Credentials, asked: string): string {
  if (!tenants || tenants.has(asked)) return asked;
  const [only] = tenants;
  if (asked === "" && tenants.size === 1 && only !== undefined) return only;
  throw denied(
    asked === ""
      ? "it must say in x-tenant-id for which tenant it is"
      : `the tenant ${quote(asked)} is out of reach`,
    { tenant: asked },
  );
}

/**
 * Throws PERMISSION_DENIED if the credentials do not allow the RPC, or do not reach what the request names.
 */
export function authorize(credentials: Credentials, endpoint: Endpoint, request: unknown): void {
  const { method, permissions, breadth } = endpoint;
  const permission = permissions.find((needed) => !isAllowed(credentials, needed));
  if (permission) throw denied(`${method.name} needs the permission ${permission}`, { permission });
  const { reach } = credentials;
  if (!reach) return;
  if (breadth === "all") throw denied(`${method.name} needs credentials that reach all names`);
  if (request === undefined || request instanceof CortexError) return;
  const named = authorizeNames(reach, method, request as Message);
  if (breadth === "named" && named === 0) {
    const field = namingPath(method.input) ?? "";
    throw denied(`it must name what it asks for, in ${field}`, { field });
  }
}

/**
 * Checks each later message of a stream. Throws PERMISSION_DENIED if it reads or lists and the credentials
 * lack `read`, or if it names data that they do not reach.
 */
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
  if (credentials.reach) authorizeNames(credentials.reach, endpoint.method, message);
}

/** Throws PERMISSION_DENIED if the credentials are limited to other scopes. */
export function authorizeScope({ scopes }: Credentials, scope: string): void {
  if (!scopes || scopes.some((allowed) => isWithin(scope, allowed))) return;
  throw denied(scope === "" ? "it must be in a scope" : "the scope is out of reach", {
    field: "scope",
  });
}

/** Checks every name in the message that credentials may limit; gives how many there are. */
function authorizeNames(reach: Reach, method: DescMethod, message: Message): number {
  let named = 0;
  for (const { field, text } of textsOf(reflect(method.input, message))) {
    const allowed = prefixesFor(reach, reachOf(field));
    if (!allowed) continue;
    named++;
    if (!allowed.some((prefix) => text.startsWith(prefix)))
      throw denied(`the ${field.name} ${quote(text)} is out of reach`, { field: field.name });
  }
  return named;
}

/** The prefixes that names of this kind may have; undefined: credentials do not limit them. */
function prefixesFor(reach: Reach, kind: ReachKind): readonly string[] | undefined {
  switch (kind) {
    case ReachKind.NAMESPACE:
      return reach.namespaces;
    case ReachKind.TYPE:
      return reach.types;
    case ReachKind.CLAIM:
      return reach.claims;
    case ReachKind.CHANNEL:
      return reach.channels;
    case ReachKind.STREAM:
      return reach.streams;
    case ReachKind.UNSPECIFIED:
    case ReachKind.USER:
      return undefined;
  }
}

const prefixKinds = new Set([
  ReachKind.NAMESPACE,
  ReachKind.TYPE,
  ReachKind.CLAIM,
  ReachKind.CHANNEL,
  ReachKind.STREAM,
]);
const reaches = new Map<DescField, ReachKind>();

/** The kind of data that the field names, as the proto declares it. */
export function reachOf(field: DescField): ReachKind {
  const known = reaches.get(field);
  if (known !== undefined) return known;
  const kind = getOption(field, reachOption);
  reaches.set(field, kind);
  return kind;
}

/** The path of the first field by which a request can name what it reaches, such as `filter.types`. */
function namingPath(message: DescMessage): string | undefined {
  for (const field of message.fields) {
    const kind = reachOf(field);
    if (prefixKinds.has(kind)) return field.name;
    if (field.fieldKind !== "message") continue;
    const path = namingPath(field.message);
    if (path !== undefined) return `${field.name}.${path}`;
  }
  return undefined;
}

/** The texts in a message with their fields, those of nested messages included. */
function* textsOf(message: ReflectMessage): Generator<{ field: DescField; text: string }> {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    const value: unknown = message.get(field);
    if (field.fieldKind === "message") yield* textsOf(value as ReflectMessage);
    else if (field.fieldKind === "list")
      for (const element of value as Iterable<unknown>)
        if (field.listKind === "message") yield* textsOf(element as ReflectMessage);
        else yield { field, text: `${element}` };
    else if (field.fieldKind === "scalar" && typeof value === "string")
      yield { field, text: value };
  }
}

// Makes the calls of the conformance table through raw gRPC: requests and replies as the protos declare them. What a client
// in another language has to do is here in one place, except retries.
import {
  type DescMethod,
  fromBinary,
  fromJson,
  type JsonObject,
  toJson as messageToJson,
  toBinary,
} from "@bufbuild/protobuf";
import { Json, toJson } from "../../client/core/json.js";
import { Claims } from "../../gen/cortex/claims/v1/claims_pb.js";
import { Events } from "../../gen/cortex/events/v1/events_pb.js";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Scopes } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import { Streams } from "../../gen/cortex/streams/v1/streams_pb.js";
import { Users } from "../../gen/cortex/users/v1/users_pb.js";
import type { Args } from "./conformance.js";
import type { Failure, Raw } from "./raw.js";

const json = new Json(true);
const [mutable, immutable] = [MutableStore.method, ImmutableStore.method];

// biome-ignore lint/suspicious/noExplicitAny: a message as JSON has any shape
type Message = any;

interface Rpc {
  method: DescMethod;
  request?: (args: Args) => Args;
  reply?: (message: Message, args: Args) => unknown;
}

const enumOf = (prefix: string, value: unknown) =>
  `${prefix}_${String(value)
    .replace(/[A-Z]/g, (letter) => `_${letter}`)
    .toUpperCase()}`;

const times: Record<string, string> = { updatedAt: "updateTime", createdAt: "createTime" };
const sorted = ({ sortBy, sortOrder, ...args }: Args): Args => ({
  ...args,
  ...(sortBy !== undefined && {
    sortBy: enumOf("SORT_BY", times[String(sortBy)] ?? sortBy),
  }),
  ...(sortOrder !== undefined && { sortOrder: enumOf("SORT_ORDER", sortOrder) }),
});

/** Puts the filters of the arguments into a message of their own. */
const filtered = (names: readonly string[]) => (args: Args) => {
  const filter: Args = {};
  const rest: Args = {};
  for (const [name, value] of Object.entries(args)) {
    if (!names.includes(name)) rest[name] = value;
    else if (name === "type") filter.types = [value, ...((filter.types as []) ?? [])];
    else filter[name === "anyTag" ? "anyTags" : name] = value;
  }
  return sorted({ ...rest, filter });
};
const ofMutable = filtered(["keyPrefix", "userId", "updatedAfter", "updatedBefore"]);
const ofImmutable = filtered(["type", "types", "tags", "anyTag", "metadata", "minVersion"]);

/** The page that was asked for, which the reply of the server does not repeat. */
const pageOf = ({ limit, offset }: Args) => ({
  ...(limit !== undefined && { limit }),
  ...(offset !== undefined && { offset }),
});

const record = ({ record }: Message) => record ?? null;

/** An operation of a transaction, from the form of the list. */
function operation(given: Args): Args {
  const { op, namespace, key, createIfMissing, stream, value, amount, ttlSeconds, ...rest } = given;
  const on = { namespace, key, ...(createIfMissing !== undefined && { createIfMissing }) };
  const set = { ...rest, ...(value !== undefined && { value }) };
  switch (op) {
    case "set":
      return { ...on, set: { ...set, ...(ttlSeconds !== undefined && { ttlSeconds }) } };
    case "update":
      return { ...on, replace: { value } };
    case "merge":
      return { ...on, merge: { patch: value } };
    case "append":
      return { ...on, append: { value } };
    case "increment":
    case "decrement":
      return { ...on, [op]: amount === undefined ? {} : { amount: String(amount) } };
    case "delete":
      return { ...on, delete: {} };
    case "store":
      return { store: rest };
    case "publish":
      return { publish: rest };
    default:
      return { appendEntries: { stream, entries: [rest] } };
  }
}

const change =
  (name: string) =>
  ({ amount, element, patch, ttlSeconds, ...args }: Args): Args => ({
    ...args,
    [name]: {
      ...(amount !== undefined && { amount: String(amount) }),
      ...(element !== undefined && { value: element }),
      ...(patch !== undefined && { patch }),
      ...(ttlSeconds !== undefined && { ttlSeconds }),
    },
  });
const isThere = (reason: string) => (message: Message) => message.reason !== reason;
const inEntries = ({ data, userId, id, ...args }: Args) => ({
  ...args,
  entries: [{ data, ...(userId !== undefined && { userId }), ...(id !== undefined && { id }) }],
});
const delivered = ({ entries }: Message) =>
  entries.map(({ entry, ...rest }: Message) => ({ ...entry, ...rest }));
const pages = ({ entries, ...rest }: Message) => ({ ...rest, entries: delivered({ entries }) });
const refs = ({ deliveries, ...args }: Args) => ({
  ...args,
  deliveries: (deliveries as string[]).map((id) => ({ id })),
});
const withoutConsumer = ({ consumer: _, ...args }: Args) => args;

const rpcs: Record<string, Rpc> = {
  "mutable.set": { method: mutable.set, reply: record },
  "mutable.get": { method: mutable.get, reply: ({ value = null }) => value },
  "mutable.getRecord": { method: mutable.getRecord, reply: record },
  "mutable.exists": { method: mutable.exists, reply: ({ exists }) => exists },
  "mutable.delete": { method: mutable.delete },
  "mutable.purge": { method: mutable.delete },
  "mutable.increment": { method: mutable.update, request: change("increment"), reply: record },
  "mutable.decrement": { method: mutable.update, request: change("decrement"), reply: record },
  "mutable.append": { method: mutable.update, request: change("append"), reply: record },
  "mutable.merge": { method: mutable.update, request: change("merge"), reply: record },
  "mutable.expire": {
    method: mutable.update,
    request: change("expire"),
    reply: isThere("KEY_NOT_FOUND"),
  },
  "mutable.touch": {
    method: mutable.update,
    request: change("expire"),
    reply: isThere("KEY_NOT_FOUND"),
  },
  "mutable.once": {
    method: mutable.set,
    request: (args) => ({ ...args, ifAbsent: true }),
    reply: isThere("KEY_EXISTS"),
  },
  "mutable.getMany": {
    method: mutable.batchGet,
    reply: ({ results }) => results.map(({ record }: Message) => record?.value ?? null),
  },
  "mutable.setMany": { method: mutable.batchSet, reply: ({ records }) => records },
  "mutable.list": {
    method: mutable.list,
    request: ofMutable,
    reply: (page, args) => ({ limit: 100, offset: 0, ...page, ...pageOf(args) }),
  },
  "mutable.count": { method: mutable.count, request: ofMutable, reply: ({ count }) => count },
  "mutable.listNamespaces": {
    method: mutable.listNamespaces,
    reply: ({ namespaces }) => namespaces,
  },
  "mutable.purgeMany": { method: mutable.purgeMany, request: ofMutable },
  "mutable.purgeNamespace": { method: mutable.purgeNamespace },
  "transaction.list": {
    method: mutable.commit,
    request: ({ operations, ...args }) => ({
      ...args,
      operations: (operations as Args[]).map(operation),
    }),
    reply: ({ results }) => ({
      success: true,
      operationsExecuted: results.length,
      results: results.map(({ record, deleted, stored, published, appended }: Message) =>
        stored
          ? { ...stored, ...stored.current }
          : (record ?? deleted ?? (published ? { published: published.channel } : appended)),
      ),
    }),
  },
  "immutable.store": {
    method: immutable.store,
    request: (args) => ({ includeHistory: true, ...args }),
    reply: ({ record }) => flat(record),
  },
  "immutable.get": {
    method: immutable.get,
    request: (args) => ({ includeHistory: true, ...args }),
    reply: ({ record }) => (record ? flat(record) : null),
  },
  "immutable.getVersion": { method: immutable.getVersion, reply: ({ version = null }) => version },
  "immutable.getAtTimestamp": {
    method: immutable.getAtTimestamp,
    request: ({ timestamp, ...args }) => ({ ...args, time: timestamp }),
    reply: ({ version = null }) => version,
  },
  "immutable.getHistory": {
    method: immutable.getHistory,
    reply: ({ versions = [] }) => versions,
  },
  "immutable.list": {
    method: immutable.list,
    request: ofImmutable,
    reply: ({ records, ...page }, args) => ({
      limit: 50,
      offset: 0,
      ...page,
      ...pageOf(args),
      records: records.map(flat),
    }),
  },
  "immutable.count": { method: immutable.count, request: ofImmutable, reply: ({ count }) => count },
  "immutable.search": {
    method: immutable.search,
    request: ({ searchIn = "data", ...args }) => ({
      ...ofImmutable(args),
      searchIn: enumOf("SEARCH_IN", searchIn),
    }),
    reply: ({ results }) => results,
  },
  "immutable.purge": { method: immutable.purge },
  "immutable.purgeMany": { method: immutable.purgeMany, request: ofImmutable },
  "immutable.purgeVersions": { method: immutable.purgeVersions },
  "immutable.verifyHistory": { method: immutable.verifyHistory },
  "immutable.getRetention": { method: immutable.getRetention },
  "users.create": { method: Users.method.create, reply: ({ user }) => user },
  "users.upsert": { method: Users.method.upsert, reply: ({ user }) => user },
  "users.update": { method: Users.method.update, reply: ({ user }) => user },
  "users.get": { method: Users.method.get, reply: ({ user = null }) => user },
  "users.list": {
    method: Users.method.list,
    reply: ({ users, ...page }, args) => ({
      limit: 100,
      offset: 0,
      ...page,
      ...pageOf(args),
      records: users,
    }),
  },
  "users.delete": {
    method: Users.method.delete,
    request: ({ dryRun = false, verify = !dryRun, ...args }) => ({ ...args, dryRun, verify }),
    reply: ({ deleted, dryRun, ...rest }) => ({
      ...rest,
      dryRun,
      deleted: deleted && !dryRun,
      wouldDelete: deleted,
    }),
  },
  "claims.acquire": {
    method: Claims.method.acquire,
    request: (args) => ({ owner: "owner", ...args }),
    reply: ({ claim = null }) => claim,
  },
  "claims.renew": { method: Claims.method.renew, reply: ({ claim }) => claim },
  "claims.release": { method: Claims.method.release },
  "claims.get": { method: Claims.method.get, reply: ({ claim = null }) => claim },
  "claims.list": { method: Claims.method.list },
  "events.publish": {
    method: Events.method.publish,
    request: ({ channel, data, userId, ...args }) => ({
      ...args,
      events: [{ channel, data, ...(userId !== undefined && { userId }) }],
    }),
    reply: ({ receivers }) => receivers,
  },
  "events.publishMany": { method: Events.method.publish, reply: ({ receivers }) => receivers },
  "streams.append": {
    method: Streams.method.append,
    request: inEntries,
    reply: ({ ids }) => ids[0],
  },
  "streams.appendMany": { method: Streams.method.append, reply: ({ ids }) => ids },
  "streams.range": {
    method: Streams.method.range,
    request: ({ from, to, ...args }) => ({
      ...args,
      ...(from !== undefined && { fromId: from }),
      ...(to !== undefined && { toId: to }),
    }),
  },
  "streams.info": {
    method: Streams.method.info,
    reply: ({ stream, groups }) => (stream ? { ...stream, groups } : null),
  },
  "streams.trim": { method: Streams.method.trim, reply: ({ deleted }) => deleted },
  "streams.list": { method: Streams.method.list },
  "streams.delete": { method: Streams.method.delete },
  "group.ensure": {
    method: Streams.method.ensureGroup,
    request: (args) => ({ ...withoutConsumer(args), start: "GROUP_START_BEGINNING" }),
  },
  "group.read": { method: Streams.method.read, reply: delivered },
  "group.ack": {
    method: Streams.method.ack,
    request: (args) => refs(withoutConsumer(args)),
    reply: ({ acknowledged }) => acknowledged,
  },
  "group.nack": {
    method: Streams.method.nack,
    request: (args) => refs(withoutConsumer(args)),
    reply: ({ givenBack }) => givenBack,
  },
  "group.info": {
    method: Streams.method.info,
    request: withoutConsumer,
    reply: ({ groups }) => groups[0],
  },
  "group.pending": { method: Streams.method.pending, request: withoutConsumer, reply: pages },
  "group.deadLetters": {
    method: Streams.method.pending,
    request: (args) => ({ ...withoutConsumer(args), deadLetters: true }),
    reply: pages,
  },
  "group.retry": {
    method: Streams.method.retry,
    request: withoutConsumer,
    reply: ({ givenBack }) => givenBack,
  },
  "group.takeOver": { method: Streams.method.takeOver, reply: delivered },
  "group.removeConsumer": {
    method: Streams.method.removeConsumer,
    reply: ({ givenBack }) => givenBack,
  },
  "group.delete": {
    method: Streams.method.deleteGroup,
    request: withoutConsumer,
    reply: ({ deleted }) => deleted,
  },
  "scopes.list": { method: Scopes.method.list },
  "scopes.purge": { method: Scopes.method.purge },
};

/** A record with the fields of its current version. */
const flat = ({ current, ...rest }: Message): Message => ({ ...rest, ...current });

const jsonFields = new Set(["value", "data", "metadata", "profile", "patch"]);
const cleared: Record<string, string> = { userId: "clearUserId", metadata: "clearMetadata" };

/** JSON values become text, times ISO text, and what is null a field that clears. */
function encoded(given: unknown): unknown {
  if (given instanceof Date) return given.toISOString();
  if (typeof given === "bigint") return `${given}`;
  if (Array.isArray(given)) return given.map(encoded);
  if (typeof given !== "object" || given === null) return given;
  return Object.fromEntries(
    Object.entries(given).flatMap(([name, value]): [string, unknown][] => {
      if (value === null && name in cleared) return [[cleared[name] as string, true]];
      if (jsonFields.has(name)) return [[`${name}Json`, toJson(value)]];
      return value === undefined ? [] : [[name, encoded(value)]];
    }),
  );
}

const counts =
  /^(count|total|keys|bytes|accessCount|versions?(Deleted|Remaining)?|recordsAffected|erased|length|lag|pending|deadLetters|entries|deleted|givenBack|totalDeleted)$/;
const renamed: Record<string, string> = {
  createTime: "createdAt",
  updateTime: "updatedAt",
  expireTime: "expiresAt",
};

/** JSON text becomes a value, a number of 64 bits that counts a number, a time a Date. */
function decoded(given: unknown): unknown {
  if (Array.isArray(given)) return given.map(decoded);
  if (typeof given !== "object" || given === null) return given;
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      if (name.endsWith("Json") && typeof value === "string")
        return [name.slice(0, -4), json.parse(value)];
      if (name in renamed) return [renamed[name], new Date(value as string)];
      if (counts.test(name) && typeof value === "string") return [name, Number(value)];
      return [name, decoded(value)];
    }),
  );
}

/** Makes a call. Gives its result, or throws the failure. */
export async function callRaw(
  raw: Raw,
  tenant: string,
  call: string,
  given: Args,
): Promise<unknown> {
  const rpc = rpcs[call];
  if (!rpc) throw new Error(`the conformance table calls ${call}, which has no RPC here`);
  const { method, request = sorted, reply = (message: Message) => message } = rpc;
  const message = fromJson(method.input, encoded(request(given)) as JsonObject);
  const bytes = Buffer.from(toBinary(method.input, message));
  const answer = await raw.bytes(method, bytes, { "x-tenant-id": tenant });
  if (!Buffer.isBuffer(answer)) {
    if (call === "mutable.once" || call === "mutable.expire" || call === "mutable.touch")
      if (reply(answer, given) === false) return false;
    throw answer satisfies Failure;
  }
  const response = messageToJson(method.output, fromBinary(method.output, answer), {
    alwaysEmitImplicit: true,
  });
  return reply(decoded(response) as Message, given);
}

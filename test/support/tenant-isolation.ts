// Calls every RPC of every service for names that another tenant uses. The RPCs come from the descriptors, so
// none is forgotten. The tests compare the answers with those from before the other tenant had data: a
// difference would reveal that data.
import {
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type Message,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { Cortex } from "../../client/index.js";
import { Claims } from "../../gen/cortex/claims/v1/claims_pb.js";
import { Streams } from "../../gen/cortex/streams/v1/streams_pb.js";
import { Users } from "../../gen/cortex/users/v1/users_pb.js";
import { services } from "../../server/services.js";
import { type Raw, RawTransaction } from "./raw.js";

export const methods: DescMethod[] = services.flatMap(({ descriptor }) => descriptor.methods);

export const marker = "zq-secret-marker";

/** Stores data for a tenant under every kind of name. */
export async function seed(cortex: Cortex, { coordination = true } = {}): Promise<void> {
  await cortex.users.upsert("user-1", { marker });
  if (coordination) await seedCoordination(cortex);
  await cortex.mutable.set(
    "ns",
    "key-1",
    { marker, n: [1] },
    { userId: "user-1", metadata: { marker } },
  );
  await cortex.mutable.set("ns", "counter", 41, { requestId: "request-1" });
  await cortex.mutable.get("ns", "key-1");
  await cortex.mutable.getRecord("ns", "key-1"); // makes the server write the access counted above
  for (const n of [1, 2])
    await cortex.immutable.store({
      type: "type-1",
      id: "id-1",
      data: { n, marker },
      userId: "user-1",
      metadata: { marker, tags: [marker] },
    });
}

async function seedCoordination({ claims, streams }: Cortex): Promise<void> {
  await claims.acquire("claim-1", { ttlSeconds: 600, owner: marker, value: { marker } });
  for (const id of ["1-0", "2-0"])
    await streams.append("stream-1", { marker }, { id, userId: "user-1" });
  const group = streams.group("group-1", "consumer-1");
  await group.ensure("stream-1");
  await group.read("stream-1", { count: 1 });
}

// The values of request fields, by field name. They name the data that `seed` stored for the other tenant.
const fieldValues: Record<string, unknown> = {
  namespace: "ns",
  key: "key-1",
  keys: ["key-1", "counter"],
  user_id: "user-1",
  type: "type-1",
  id: "id-1",
  types: ["type-1"],
  key_prefix: "key",
  id_prefix: "user",
  query: marker,
  value_json: '"theirs"',
  data_json: '{"theirs":1}',
  profile_json: '{"theirs":1}',
  version: 1,
  keep_latest: 1,
  if_revision: undefined,
  cascade: true,
  include_current: true,
  name: "claim-1",
  fence: "1",
  prefix: "claim",
  owner: "them",
  stream: "stream-1",
  group: "group-1",
  consumer: "consumer-1",
  ids: ["1-0"],
};

/** The requests to send to a method. They name data of the other tenant. */
export function requestsOf(method: DescMethod): Message[] {
  const filled = fill(method.input, method);
  const variants = [filled];
  if (method.input.fields.some(({ name }) => name === "request_id"))
    variants.push({ ...filled, requestId: "request-1" } as Message);
  return variants;
}

function fill(schema: DescMessage, method: DescMethod): Message {
  const message = reflect(schema, create(schema));
  for (const field of schema.fields) {
    if (field.oneof && field !== field.oneof.fields[0]) continue;
    const value = contentOf(field, method);
    if (value === undefined) continue;
    if (field.fieldKind === "list") {
      const list = message.get(field) as { add(item: unknown): void };
      for (const one of value as unknown[]) list.add(one);
    } else message.set(field, value as never);
  }
  return message.message;
}

function contentOf(field: DescField, method: DescMethod): unknown {
  const { name } = field;
  if (name === "scope") return undefined;
  if (name === "ttl_seconds") return method.parent === Claims ? 60 : undefined;
  if (field.fieldKind === "message") {
    if (field.message.typeName === "cortex.claims.v1.Guard") return undefined; // it would be refused
    if (field.message.typeName === "google.protobuf.Timestamp")
      return name === "time"
        ? reflect(field.message, create(field.message, { seconds: 4_000_000_000n }))
        : undefined;
    return reflect(field.message, fill(field.message, method));
  }
  if (field.fieldKind === "list" && field.listKind === "message")
    return [reflect(field.message, fill(field.message, method))];
  if (name === "id" && method.parent === Users) return "user-1";
  if (name === "id" && method.parent === Streams)
    return method.name === "Append" ? undefined : "1-0";
  if (name === "prefix" && method.parent === Streams) return "stream";
  if (name === "max_len" && method.name === "Trim") return 1n;
  // A watch of one name cannot have a prefix too.
  if (method.name === "Watch" && name.endsWith("_prefix")) return undefined;
  // A filter gets one field only: all together would match nothing.
  if (field.parent.name === "Filter" && !["types", "key_prefix"].includes(name)) return undefined;
  if (name === "user_id" && /^(Set|Batch|Store|Commit|Transact|Append)/.test(method.name))
    return undefined;
  return fieldValues[name];
}

/** Calls a method and returns its answer as JSON, without the fields that differ between any two calls. */
export async function answer(
  raw: Raw,
  method: DescMethod,
  request: Message,
  tenant: string,
  headers = {},
): Promise<unknown> {
  const all = { "x-tenant-id": tenant, ...headers };
  if (method.methodKind === "bidi_streaming") return conversation(raw, all);
  const bytes = Buffer.from(toBinary(method.input, request));
  if (method.name === "Watch") {
    const messages = await raw.collect(method, bytes, all, 200);
    return Array.isArray(messages)
      ? messages.map((one) => withoutChance(toJson(method.output, fromBinary(method.output, one))))
      : withoutChance(messages);
  }
  const reply = await raw.bytes(method, bytes, all);
  return Buffer.isBuffer(reply)
    ? withoutChance(toJson(method.output, fromBinary(method.output, reply)))
    : withoutChance(reply);
}

async function conversation(raw: Raw, headers: Record<string, string>): Promise<unknown> {
  const transaction = new RawTransaction(raw.address, headers);
  const keys = [{ namespace: "ns", key: "key-1" }];
  const steps = [
    { case: "begin", value: {} },
    { case: "read", value: { keys } },
    { case: "list", value: { namespace: "ns" } },
    {
      case: "write",
      value: {
        operations: [
          {
            namespace: "ns",
            key: "counter",
            operation: { case: "increment", value: {} },
            createIfMissing: true,
          },
        ],
      },
    },
    { case: "commit", value: {} },
  ] as const;
  const answers: unknown[] = [];
  try {
    for (const step of steps) answers.push(await transaction.ask(step as never));
  } catch (error) {
    answers.push(error);
  } finally {
    transaction.close();
  }
  return withoutChance(
    JSON.parse(
      JSON.stringify(answers, (_, value) => (typeof value === "bigint" ? `${value}` : value)),
    ),
  );
}

const chance =
  /(Time|revision|digest|salt|createTime|updateTime|currentRevision|error_id|ByType|cursor|fence|delivery|Id)$/i;

function withoutChance(value: unknown): unknown {
  if (typeof value === "string")
    return value.replace(/\b\d{13}-\d+\b/g, "an id").replace(/\b\d{4}-[\d-]+T[\d:.]+Z/g, "a time");
  if (Array.isArray(value)) return value.map(withoutChance);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !chance.test(name) && !name.startsWith("$"))
      .map(([name, one]) => [name, withoutChance(one)]),
  );
}

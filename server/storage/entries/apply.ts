// How anything is written: units of operations, applied by one statement. It locks the keys, computes each key's states one after
// the other from the state as it is then, and stores the last. A unit is applied whole or refused whole. Units of one operation each
// may follow each other on one key, each with its own revision and result: so a hot key takes as many writes as a batch holds.

import { codeOf } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import type { Run } from "../../postgres/connection.js";
import type { ConflictKey } from "../../runtime/group-commit.js";
import type { Amounts, Room } from "../../runtime/quotas.js";
import type { IdempotencyKey, StoredReply } from "../idempotency.js";
import type { Row } from "./entry.js";
import { type Cells, resultOf } from "./reply.js";
import { statement } from "./statement.js";

export interface EntryKey {
  tenant: string;
  namespace: string;
  key: string;
}

/** What is to become of one key. */
export interface Operation extends EntryKey {
  kind: "check" | "set" | "add" | "append" | "merge" | "replace" | "delete";
  /** The value, element or patch as JSON text; the amount as decimal text. */
  argument?: string | undefined;
  /** Of a set: undefined keeps what is there, null clears it. */
  userId?: string | null | undefined;
  metadata?: string | null | undefined;
  ttlSeconds?: number | undefined;
  /** What must be there, else it is refused. */
  expects?: "present" | "absent" | undefined;
  ifRevision?: string | undefined;
}

export interface AtomicWrite {
  tenant: string;
  /** Who writes. */
  agent: string | undefined;
  principal: string | undefined;
  operations: Operation[];
  request: IdempotencyKey | undefined;
  /** Largest value it may leave, and largest reply, in bytes of UTF-8. */
  valueBytesMax: number;
  replyBytesMax: number;
  /** The names of the keys of its operations. */
  keys: string[];
  /** Its keys and its request id, as names in the batch. */
  touches: ConflictKey[];
  /** What it takes of a batch. */
  weight: number;
  /** What the tenant may still store, where that is little. */
  room?: Room | undefined;
}

/** A unit of operations on behalf of one call. */
export function atomicWrite(
  { tenant, agent, principal, config }: Call,
  operations: Operation[],
  request: IdempotencyKey | undefined,
): AtomicWrite {
  const { valueBytesMax, messageBytesMax: replyBytesMax } = config;
  const mixes = operations.length === 1;
  const keys = operations.map(entryName);
  const touches = (mixes ? keys : [...new Set(keys)]).map((name) => ({ name, mixes }));
  if (request) touches.push({ name: `${tenant}\0${request.id}`, mixes: false });
  let weight = 0;
  for (const operation of operations) weight += weightOf(operation);
  const by = { agent, principal };
  return {
    tenant,
    ...by,
    operations,
    request,
    valueBytesMax,
    replyBytesMax,
    keys,
    touches,
    weight,
  };
}

// An append or a merge gives back all it appends to, which may be large; an argument takes a place for every 8 KiB.
const weightOf = ({ kind, argument = "" }: Operation): number =>
  (kind === "append" || kind === "merge" ? 8 : 1) + Math.floor(argument.length / 8192);

/** What an operation did. */
export interface Result {
  namespace: string;
  key: string;
  /** The entry as the operation left it; undefined where there is none. */
  row: Row | undefined;
  /** Whether it deleted an entry. */
  deleted: boolean;
  at: Date;
}

/** Why an operation could not be, and what it found. */
export interface Refusal {
  /** Which operation of the unit. */
  index: number;
  reason: string;
  revision: string;
  type: string | null;
  bytes: number | null;
}

export type Outcome =
  | { results: Result[] }
  | { refusal: Refusal }
  | { repeated: StoredReply }
  | "locked";

interface Written {
  cells: string;
  refusal: string | null;
  large: boolean;
  bytes: number | null;
  type: string | null;
  revision: string;
  /** The fingerprint and the reply that are kept under the request id. */
  repeats: string | null;
  reply: string | null;
}

const attemptsMax = 10;

/**
 * Applies the units; what became of each, in their order. Without `wait` a key that is locked is not waited for: its unit is
 * "locked", and nothing of it was done.
 */
export async function apply(
  run: Run,
  units: AtomicWrite[],
  { wait, attempts = attemptsMax }: { wait: boolean; attempts?: number },
): Promise<Outcome[]> {
  const plan = planOf(units);
  for (let attempt = 1; ; attempt++) {
    try {
      return outcomes(units, await run<Written>((sql) => statement(sql, plan, wait)));
    } catch (error) {
      const code = codeOf(error) ?? "";
      if (!wait && code === "55P03" && units.length === 1) return ["locked"]; // somebody is creating the key
      if (!rivals.has(code) || attempt >= attempts) throw error;
    }
  }
}

// A rival created a key or committed the same request id (23505), or deleted a user (23503), after the statement had looked: all of it
// was rolled back, and the next look sees what the rival did.
const rivals = new Set(["23505", "23503"]);

/** What a unit adds to what its tenant stores, at most. */
export const addsOf = ({ operations }: AtomicWrite): Amounts => {
  const adds = { keys: 0, bytes: 0, versions: 0 };
  for (const { kind, argument = "", metadata } of operations) {
    if (kind === "check" || kind === "delete") continue;
    adds.keys++;
    adds.bytes += Buffer.byteLength(argument) + Buffer.byteLength(metadata ?? "{}");
  }
  return adds;
};

/** The units as the statement takes them. */
export interface Plan {
  /** The distinct keys, in the order in which everybody locks them. JSON. */
  keys: string;
  /** The operations, each a step in the life of its key. JSON. */
  steps: string;
  valueBytesMax: number;
  replyBytesMax: number;
  /** Whether there are units of several operations, deletes, request ids. */
  atomic: boolean;
  deletes: boolean;
  requests: boolean;
  /** What may still be stored, by the one unit there is then. */
  room: Room | undefined;
}

function planOf(units: AtomicWrite[]): Plan {
  const keys = new Map<string, Key>();
  const all = units.flatMap(({ operations, request, keys: ids, agent, principal }, unit) =>
    operations.map((operation, i) => {
      const id = ids[i] as string;
      const { tenant, namespace, key: name } = operation;
      const atomic = operations.length > 1 ? unit : undefined;
      const key = keys.get(id) ?? { tenant, namespace, key: name, atomic, steps: 0, place: 0 };
      keys.set(id, key);
      key.steps++;
      return { operation, request, agent, principal, unit, key, step: key.steps };
    }),
  );
  const sorted = [...keys].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, key]) => key);
  sorted.forEach((key, place) => {
    key.place = place;
  });
  const steps = all.map(({ operation, request, agent, principal, unit, key, step }, number) => ({
    number,
    agent,
    principal,
    unit,
    place: key.place,
    step,
    last: step === key.steps,
    kind: operation.kind,
    argument: operation.argument,
    expects: operation.expects,
    if_revision: operation.ifRevision,
    keeps_user: operation.userId === undefined,
    user_id: operation.userId,
    keeps_metadata: operation.metadata === undefined,
    metadata: operation.metadata,
    ttl: operation.ttlSeconds,
    ...(request && {
      tenant: operation.tenant,
      request: request.id,
      fingerprint: request.fingerprint,
    }),
  }));
  const [{ valueBytesMax, replyBytesMax, room }] = units as [AtomicWrite];
  return {
    keys: JSON.stringify(sorted),
    steps: JSON.stringify(steps),
    valueBytesMax,
    replyBytesMax,
    atomic: units.some(({ operations }) => operations.length > 1),
    deletes: all.some(({ operation }) => operation.kind === "delete"),
    requests: units.some(({ request }) => request),
    room,
  };
}

interface Key extends EntryKey {
  /** The unit that it belongs to, if that has several operations. */
  atomic: number | undefined;
  steps: number;
  place: number;
}

/** A key's name among all; no name holds a control character. */
export const entryName = ({ tenant, namespace, key }: EntryKey): string =>
  `${tenant}\0${namespace}\0${key}`;

/** What became of each unit. */
function outcomes(units: AtomicWrite[], rows: Written[]): Outcome[] {
  let next = 0;
  return units.map(({ operations, replyBytesMax }): Outcome => {
    const own = rows.slice(next, next + operations.length);
    next += operations.length;
    const [first] = own;
    if (first?.repeats != null)
      return { repeated: { fingerprint: first.repeats, reply: first.reply } };
    if (own.some(({ refusal }) => refusal === "LOCKED")) return "locked";
    if (own.some(({ refusal }) => refusal === "FOREIGN"))
      throw new Error("a statement found the row of another tenant");
    const index = own.findIndex(({ refusal, large }) => refusal !== null || large);
    const row = own[index];
    if (row) {
      const { refusal, revision, type } = row;
      const large = refusal === null || refusal === "REPLY_TOO_LARGE";
      const [reason, bytes] = large ? ["REPLY_TOO_LARGE", replyBytesMax] : [refusal, row.bytes];
      return { refusal: { index, reason, revision, type, bytes } };
    }
    return {
      results: own.map(({ cells }, i) =>
        resultOf(JSON.parse(cells) as Cells, operations[i]?.argument),
      ),
    };
  });
}

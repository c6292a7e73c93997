// Exactly once: a write with a request id stores its reply in its own transaction, and a repeat gets that
// reply. Single statements go through `writeOnce` (write-path.ts), work of several statements through `once`.
import { createHash } from "node:crypto";
import { CortexError, traitsOf } from "../errors/reasons.js";
import { codeOf } from "../errors/sqlstate.js";
import type { Call } from "../grpc/call.js";
import type { Fragment, Run, Sql } from "../postgres/connection.js";
import * as check from "../validation/fields.js";
import { lockRequest } from "./creation.js";

export interface IdempotencyKey {
  /** The request id as the caller gave it. */
  given: string;
  /** Its digest, under which the reply is stored. */
  id: string;
  /**
   * A digest of the RPC and the request: another request under the same id is refused. That of Transact has
   * two parts, `caller.content`. With the first part alone, the content may be any.
   */
  fingerprint: string;
}

const digest = (text: string) => createHash("sha256").update(text).digest("base64url");

/**
 * The key of a request; undefined if it has no id. `request` has everything that distinguishes it from
 * other requests of the RPC.
 */
export function idempotencyKey(
  id: string | undefined,
  rpc: string,
  request: unknown,
): IdempotencyKey | undefined {
  if (id === undefined) return undefined;
  const given = check.requestId(id);
  return { given, id: digest(given), fingerprint: digest(JSON.stringify([rpc, request])) };
}

/** What is stored under a request id. */
export interface StoredReply {
  /** That of the key if the stored one matches it, else empty. The database keeps fingerprints sealed (migration 0018). */
  fingerprint: string;
  /** null: erased together with a user. */
  reply: string | null;
}

/** The reply that an earlier attempt of the request has stored; undefined if there is none. */
export async function findStoredReply(
  run: Run,
  tenant: string,
  key: IdempotencyKey,
): Promise<string | undefined> {
  const [stored] = await run<StoredReply>(
    (sql) =>
      sql`
        select ${matching(sql, sql`r.fingerprint`, sql`${key.fingerprint}`)} as fingerprint, r.reply::text
        from request r where r.tenant = ${tenant} and r.id = ${key.id}`,
  );
  return stored && matchReply(key, stored);
}

/** The `fingerprint` of a StoredReply. */
export const matching = (sql: Sql, stored: Fragment, given: Fragment): Fragment =>
  sql`matching_fingerprint(${stored}, ${given}::text)`;

/** The stored reply; throws REPLY_ERASED if it was erased, REQUEST_ID_REUSED if another request stored it. */
export function matchReply(
  key: IdempotencyKey | undefined,
  { fingerprint, reply }: StoredReply,
): string {
  const details = { request_id: key?.given ?? "" };
  if (reply === null) throw new CortexError("REPLY_ERASED", details);
  if (fingerprint !== key?.fingerprint) throw new CortexError("REQUEST_ID_REUSED", details);
  return reply;
}

/**
 * Stores a reply, as a step of a statement in the transaction of its write. `userIds` are the users whose data
 * the reply holds.
 */
export const storedReply = (
  sql: Sql,
  tenant: string,
  { id, fingerprint }: IdempotencyKey,
  { reply, userIds }: { reply: string; userIds: string[] },
): Fragment => sql`
  insert into request (tenant, id, fingerprint, reply, user_ids, bytes)
  select ${tenant}, ${id}, seal(${fingerprint}), ${reply}::text::json, ${userIds}::text[], ${Buffer.byteLength(reply)}::int
  where not ${locked(sql, tenant, id)}
  returning id`;

const locked = (sql: Sql, tenant: string, id: string): Fragment =>
  lockRequest(sql, { tenant: sql`${tenant}::text`, id: sql`${id}::text` }, "wait");

/** Stores a reply in a statement of its own. */
export async function storeReply(
  run: Run,
  ...reply: [tenant: string, key: IdempotencyKey, reply: { reply: string; userIds: string[] }]
): Promise<void> {
  await run((sql) => storedReply(sql, ...reply));
}

const onceAttemptsMax = 10;
const replyBytesGuessed = 4096;

interface Attempt<Reply> {
  /**
   * Does the work and stores its reply under the key, in one transaction. undefined if the request was
   * refused.
   */
  attempt(): Promise<Reply | undefined>;
  /** Reads a stored reply. */
  parse(reply: string): Reply | Promise<Reply>;
}

/**
 * Answers a request once: with the reply that an earlier attempt has stored, else with a new one. Where the
 * attempt is refused, or loses to a rival, it looks for a stored reply again: an earlier attempt of this
 * request may have committed meanwhile, and be the cause.
 */
export async function once<Reply>(
  { caller, db, server }: Call,
  key: IdempotencyKey | undefined,
  { attempt, parse }: Attempt<Reply>,
): Promise<Reply | undefined> {
  const findReply = async () => {
    const reply = key && (await findStoredReply(db.short, caller.tenant, key));
    return reply === undefined ? undefined : parse(reply);
  };
  for (let attempts = 1; ; attempts++) {
    const earlier = await findReply();
    if (earlier !== undefined) return earlier;
    try {
      const reply = await attempt();
      if (key) server.replies.note(caller.tenant, replyBytesGuessed);
      return reply ?? (await findReply());
    } catch (error) {
      if (lostToRival(error) && attempts < onceAttemptsMax) continue;
      const earlier = isRefusal(error) ? await findReply() : undefined;
      if (earlier === undefined) throw error;
      return earlier;
    }
  }
}

// deadlock_detected, serialization_failure; unique_violation: a rival stored the same request id or created
// the same row; foreign_key_violation: a rival deleted the user. Each rolled everything back.
const conflictCodes = new Set(["40P01", "40001", "23505", "23503"]);

/** A constraint failed (class 23) as a rival committed first. All is rolled back, so it can run again. */
export function toConflict(error: unknown): never {
  if (codeOf(error)?.startsWith("23")) throw new CortexError("CONFLICT", {}, { cause: error });
  throw error;
}

const lostToRival = (error: unknown): boolean =>
  error instanceof CortexError
    ? error.reason === "CONFLICT"
    : conflictCodes.has(codeOf(error) ?? "");

/** True if the request was refused because of the stored data, so that nothing was done. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof CortexError)) return false;
  const { repeatable, ambiguous, beforeLookup, timedOut } = traitsOf(error.reason);
  return !(repeatable || ambiguous || beforeLookup || timedOut);
}

/** A statement in parts, so that the storing of its reply can be added. */
export interface Work {
  /** The common table expressions that do the work, without the `with`. */
  steps: Fragment;
  /** Selects one row `reply json, user_ids text[]`; no row: the request was refused. */
  reply: Fragment;
}

/**
 * Runs the work in one statement, and stores its reply under the key. Fails with 23505 (unique_violation) if
 * a reply is stored already.
 */
export async function runWork<Reply extends object>(
  run: Run,
  tenant: string,
  key: IdempotencyKey | undefined,
  work: (sql: Sql) => Work,
): Promise<Reply | undefined> {
  const [row] = await run<{ reply: Reply }>((sql) => {
    const { steps, reply } = work(sql);
    return sql`
      with ${steps}, made as materialized (${reply})
      ${key ? storingMade(sql, tenant, key) : sql``}
      select reply from made`;
  });
  return row?.reply;
}

/** The step of a statement that stores the reply that its step `made` gives, if it gives one. */
export const storingMade = (
  sql: Sql,
  tenant: string,
  { id, fingerprint }: IdempotencyKey,
): Fragment => sql`, stored_reply as (
  insert into request (tenant, id, fingerprint, reply, user_ids, bytes)
  select ${tenant}, ${id}, seal(${fingerprint}), reply, user_ids, octet_length(reply::text) from made
  where not ${locked(sql, tenant, id)})`;

const batchMax = 1000;

/** Deletes replies older than `seconds`, in bounded statements. Returns how many. */
export async function deleteOldReplies(run: Run, seconds: number): Promise<number> {
  for (let total = 0; ; ) {
    const deleted = await run(
      (sql) => sql`
        with old as materialized (
          select tenant, id from request
          where created_at < statement_timestamp() - ${seconds}::float8 * interval '1 second'
          order by created_at limit ${batchMax}
          for update skip locked
        )
        delete from request r using old where r.tenant = old.tenant and r.id = old.id returning 1`,
    );
    total += deleted.length;
    if (deleted.length < batchMax) return total;
  }
}

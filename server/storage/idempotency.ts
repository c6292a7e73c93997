// Exactly once: a request that carries an id leaves its reply in the transaction of its write. A repeat finds it there.
import { createHash } from "node:crypto";
import { CortexError, codeOf } from "../errors/reasons.js";
import type { Fragment, Run, Sql } from "../postgres/connection.js";
import * as check from "../validation/fields.js";

/** A request id, its digest, under which its reply is kept, and what tells its request from another. */
export interface IdempotencyKey {
  given: string;
  id: string;
  fingerprint: string;
}

const digest = (text: string) => createHash("sha256").update(text).digest("base64url");

/** The key of a request, of its RPC and all it asks for; undefined where it has no id. */
export function idempotencyKey(
  id: string | undefined,
  rpc: string,
  asks: unknown,
): IdempotencyKey | undefined {
  if (id === undefined) return undefined;
  const given = check.requestId(id);
  return { given, id: digest(given), fingerprint: digest(JSON.stringify([rpc, asks])) };
}

/** A statement in its parts. */
export interface Work {
  /** What it does: the common table expressions, without the `with`. */
  steps: Fragment;
  /** Gives the one row `reply json, user_ids text[]`; no row: it was refused. */
  reply: Fragment;
}

/** Runs a statement, once under the request's key; its reply, undefined where it was refused. */
export async function once<Reply extends object>(
  run: Run,
  tenant: string,
  request: IdempotencyKey | undefined,
  work: (sql: Sql) => Work,
  /** Refuses it, where it is not a repeat. */
  allow: () => Promise<void> = async () => {},
): Promise<Reply | undefined> {
  const parsed = (reply: string | undefined) =>
    reply === undefined ? undefined : (JSON.parse(reply) as Reply);
  const past = request && parsed(await findStoredReply(run, tenant, request));
  if (past) return past;
  await allow();
  try {
    const done = await doneOnce<Reply>(run, tenant, request, work);
    if (done || !request) return done;
    return parsed(await findStoredReply(run, tenant, request)); // what refuses it may be what a repeat of it has done
  } catch (error) {
    if (!request || codeOf(error) !== "23505") throw error;
    const theirs = parsed(await findStoredReply(run, tenant, request)); // a repeat was faster: what this one did is rolled back
    if (!theirs) throw error;
    return theirs;
  }
}

/** Runs a statement that keeps its reply under the request's key, whether or not it did before: then it fails (23505). */
export async function doneOnce<Reply extends object>(
  run: Run,
  tenant: string,
  request: IdempotencyKey | undefined,
  work: (sql: Sql) => Work,
): Promise<Reply | undefined> {
  const [done] = await run<{ reply: Reply }>((sql) => {
    const { steps, reply } = work(sql);
    return sql`
      with ${steps}, done as materialized (${reply})
      ${
        request
          ? sql`, kept as (
              insert into request (tenant, id, fingerprint, reply, user_ids)
              select ${tenant}, ${request.id}, ${request.fingerprint}, reply, user_ids from done)`
          : sql``
      }
      select reply from done`;
  });
  return done?.reply;
}

/** Keeps a reply, in the transaction of its write. */
export async function storeReply(
  run: Run,
  tenant: string,
  { id, fingerprint }: IdempotencyKey,
  { reply, userIds }: { reply: string; userIds: string[] },
): Promise<void> {
  await run(
    (sql) => sql`
      insert into request (tenant, id, fingerprint, reply, user_ids)
      values (${tenant}, ${id}, ${fingerprint}, ${reply}::text::json, ${userIds}::text[])`,
  );
}

/** What is kept under a request id. */
export interface StoredReply {
  fingerprint: string;
  /** null: erased with a user. */
  reply: string | null;
}

/** The reply that is kept under a request's key. */
export async function findStoredReply(
  run: Run,
  tenant: string,
  request: IdempotencyKey,
): Promise<string | undefined> {
  const [kept] = await run<StoredReply>(
    (sql) =>
      sql`select fingerprint, reply::text from request where tenant = ${tenant} and id = ${request.id}`,
  );
  return kept && matchReply(request, kept);
}

/** The reply to a request that was made before, if it was this one. */
export function matchReply(
  request: IdempotencyKey | undefined,
  { fingerprint, reply }: StoredReply,
): string {
  const details = { request_id: request?.given ?? "" };
  if (fingerprint !== request?.fingerprint) throw new CortexError("REQUEST_ID_REUSED", details);
  if (reply === null) throw new CortexError("REPLY_ERASED", details);
  return reply;
}

const batchMax = 1000;

/** Deletes the replies that have been kept long enough, in bounded statements; returns how many. */
export async function deleteOldReplies(run: Run, seconds: number): Promise<number> {
  for (let forgotten = 0; ; ) {
    const gone = await run(
      (sql) => sql`
        with old as materialized (
          select tenant, id from request
          where created_at < statement_timestamp() - ${seconds}::float8 * interval '1 second'
          order by created_at limit ${batchMax}
          for update skip locked
        )
        delete from request r using old where r.tenant = old.tenant and r.id = old.id returning 1`,
    );
    forgotten += gone.length;
    if (gone.length < batchMax) return forgotten;
  }
}

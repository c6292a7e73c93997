// Purges of entries. Without `entries_max` a purge is one transaction: all of what matches is deleted, or
// nothing. With `entries_max` each call is one step of a purge, and one transaction.
import type { Guard as GuardMessage } from "../../../gen/cortex/claims/v1/guard_pb.js";
import { CortexError } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import type { Run } from "../../postgres/connection.js";
import * as check from "../../validation/fields.js";
import { type AuditEntry, audit, auditDigest } from "../audit/audit.js";
import { purgeTransaction } from "../audit/purge.js";
import { parseGuard } from "../claims/guard.js";
import { findStoredReply, idempotencyKey, storeReply } from "../idempotency.js";
import { invalidToken, pageToken, positionOf, type Query } from "../page-token.js";
import { type EntryFilter, matches, within } from "./filter.js";
import { type Pass, pass, type Selection, type Step } from "./purge-pass.js";

const keysShownMax = 1000;
const passesMax = 10;

/** What was deleted, as it is stored under the request id. */
interface Purged {
  deleted: number;
  /** The first keys; null in a stored reply that was slimmed (see kept-replies.ts). */
  keys: string[] | null;
  /** The user whose entries were deleted; null if there were several users or none. */
  user: string | null;
  /** What the steps before have deleted. Replies of the release before do not have it. */
  deletedBefore?: number;
  continueToken?: string;
}

interface Deleted extends Purged {
  /** The users whose data the reply names. */
  userIds: string[];
}

/** The fields of the request that all purges have. */
interface PurgeFields {
  dryRun: boolean;
  requestId?: string | undefined;
  entriesMax?: number | undefined;
  continueToken?: string | undefined;
  claim?: GuardMessage | undefined;
}

interface Purge {
  rpc: string;
  fields: PurgeFields;
  /** The parts of the request that its fingerprint and its tokens cover. */
  identity: unknown;
  /** The names in the request, for the audit trail. */
  asked: Record<string, unknown>;
  selection: Selection;
  /** What the first step deletes besides entries. */
  also?: (run: Run) => Promise<unknown>;
}

/** Deletes the entries that match the filter, or counts them. */
export async function purgeMatching(
  call: Call,
  rpc: string,
  filter: EntryFilter,
  fields: PurgeFields,
) {
  const { tenant, userId, ...names } = filter;
  const user = userId === undefined ? {} : { user: auditDigest(tenant, userId) };
  return purgeEntries(call, {
    rpc,
    fields,
    identity: [filter, fields.dryRun],
    asked: { ...names, ...user },
    selection: {
      matches: (sql) => matches(sql, filter),
      within: (sql) => within(sql, filter),
      allNamespaces: false,
    },
  });
}

export async function purgeEntries(call: Call, purge: Purge) {
  const { rpc, fields, identity, asked } = purge;
  const { tenant } = call.caller;
  const { requestId, dryRun, entriesMax, continueToken } = fields;
  const query = [rpc, tenant, identity];
  const start = parseStart(fields, query);
  const content = start ? [identity, entriesMax, continueToken] : identity;
  const guard = parseGuard(tenant, fields.claim);
  const key = idempotencyKey(requestId, rpc, content);
  const work = (run: Run) =>
    start ? purgeStep(run, purge, start, query) : deleteAll(run, purge, keysShownMax);
  if (dryRun) {
    if (key) await findStoredReply(call.db.short, tenant, key); // refuses a reused request id
    return answer(await work(call.db.purges), dryRun);
  }
  const purged = await purgeTransaction<Purged>(
    call,
    key,
    { removal: "purge", guard },
    async (run) => {
      const { userIds, ...purged } = await work(run);
      if (!start?.after) await purge.also?.(run);
      if (key) await storeReply(run, tenant, key, { reply: JSON.stringify(purged), userIds });
      const entry = auditEntry(rpc, { ...asked, entriesMax }, purged);
      if (entry) await audit(call, run, entry);
      return purged;
    },
  );
  return answer(purged as Purged, dryRun);
}

const answer = ({ deleted, deletedBefore = 0, keys, continueToken }: Purged, dryRun: boolean) => ({
  deleted: BigInt(deleted),
  deletedTotal: BigInt(deletedBefore + deleted),
  keys: keys ?? [],
  dryRun,
  ...(continueToken !== undefined && { continueToken }),
});

/** Where a step begins. */
interface Start extends Pick<Step, "entriesMax" | "after"> {
  /** The last revision before the first step; undefined: this is the first step. */
  revisionMax: string | undefined;
  /** How many entries the steps before have deleted. */
  deletedBefore: number;
}

const tokenField = "continue_token";

/** Where the step that the request asks for begins; undefined if it asks for no step. */
function parseStart({ entriesMax, continueToken }: PurgeFields, query: Query): Start | undefined {
  if (entriesMax === undefined) {
    if (continueToken === undefined) return undefined;
    throw new CortexError("INVALID_OPTIONS", { field: tokenField, problem: "needs entries_max" });
  }
  check.entriesMax(entriesMax);
  if (continueToken === undefined)
    return { entriesMax, after: undefined, revisionMax: undefined, deletedBefore: 0 };
  // The empty token is refused. If it meant the first step, a caller who goes on after the end would start
  // anew.
  const position = positionOf(continueToken, query, 4, tokenField);
  const [namespace = "", key = "", revisionMax = "", deleted = ""] = position ?? [];
  if (![revisionMax, deleted].every((number) => /^\d{1,18}$/.test(number)))
    throw invalidToken(undefined, tokenField);
  return { entriesMax, after: [namespace, key], revisionMax, deletedBefore: Number(deleted) };
}

async function purgeStep(run: Run, purge: Purge, start: Start, query: Query): Promise<Deleted> {
  const { deletedBefore } = start;
  const lastRevision = await beginStep(run);
  const { revisionMax = lastRevision } = start;
  const keysMax = Math.max(keysShownMax - deletedBefore, 0);
  const { next, ...purged } = await deleteAll(run, purge, keysMax, { ...start, revisionMax });
  if (!next) return { ...purged, deletedBefore };
  const [namespace, key, user] = next;
  const position = [namespace, key, revisionMax, `${deletedBefore + purged.deleted}`];
  const userIds = [...purged.userIds, ...(user === null ? [] : [user])]; // the token has the name of an entry
  return { ...purged, deletedBefore, continueToken: pageToken(query, position), userIds };
}

/**
 * Gives the last revision that any entry has got: an entry that is created later has a higher one. From then
 * on the transaction reads by indexes in order, not by bitmaps. So it locks entries in the order of their
 * names, as other writes do.
 */
async function beginStep(run: Run): Promise<string> {
  const [row] = await run<{ revision: string }>(
    (sql) =>
      sql`select set_config('enable_bitmapscan', 'off', true), last_value as revision from revision`,
  );
  return row?.revision ?? "";
}

interface Deletion extends Deleted {
  /** The entry after which the next step begins. */
  next: NonNullable<Pass["next"]> | undefined;
}

/**
 * Deletes in passes: a statement that waited for a transaction does not see a key which that transaction
 * deleted and created again. The last pass finds nothing; that of a step has deleted what it found.
 */
async function deleteAll(
  run: Run,
  { selection, fields: { dryRun } }: Purge,
  keysMax: number,
  step?: Step,
): Promise<Deletion> {
  const shown: Pass["shown"] = [];
  const users = new Set<string>();
  let deleted = 0;
  let next: Deletion["next"];
  for (let passes = 0; passes < passesMax; passes++) {
    const rest = step && { ...step, entriesMax: step.entriesMax - deleted };
    const found = await pass(run, selection, { dryRun, step: rest, keysShownMax: keysMax });
    next = found.next ?? undefined;
    deleted += found.deleted;
    shown.push(...found.shown);
    for (const user of [found.first_user, found.last_user]) if (user !== null) users.add(user);
    if (dryRun || found.deleted === found.found) break;
  }
  shown.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))).splice(keysMax);
  const [onlyUser, ...others] = users;
  const user = others.length === 0 ? (onlyUser ?? null) : null;
  const userIds = new Set([
    ...shown.flatMap(([, of]) => of ?? []),
    ...(user === null ? [] : [user]),
  ]);
  return { deleted, keys: shown.map(([key]) => key), user, userIds: [...userIds], next };
}

const auditEntry = (
  rpc: string,
  asked: Record<string, unknown>,
  { deleted, user }: Purged,
): AuditEntry | undefined =>
  deleted === 0
    ? undefined
    : {
        action: `MutableStore.${rpc}`,
        asked,
        deleted: { entries: deleted },
        ...(user !== null && { userId: user }),
      };

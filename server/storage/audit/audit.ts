// The audit trail of a tenant: each purge and each erasure leaves a record of the type `$cortex/audit`, in
// its own transaction. The record says who did what and how much was deleted, never what it was. It names
// users by a digest, so it can stay when a user is erased. Only the permission `admin` may read it
// (checkReserved in storage/versions/name.ts).
import { createHash, randomUUID } from "node:crypto";
import { CortexError } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import type { Run } from "../../postgres/connection.js";
import { reservedTypePrefix } from "../../validation/fields.js";
import { ownName, stepsOf } from "../../validation/scope.js";
import { type Author, newVersion } from "../versions/new-version.js";
import { versionWrites } from "../versions/write.js";

export const auditType = `${reservedTypePrefix}audit`;

/** The digest of a user's id, or of a text that holds it. It tells nothing to who does not know the text. */
export const auditDigest = (tenant: string, text: string): string =>
  createHash("sha256").update(`${tenant}\0${text}`).digest("hex");

export interface AuditEntry {
  /** Such as `MutableStore.PurgeMany`. */
  action: string;
  /** The names in the request. */
  asked: Record<string, unknown>;
  /** How many rows were deleted, by kind. */
  deleted: Record<string, number>;
  /** The one user whose data it was; undefined where it was nobody's or several users'. */
  userId?: string | undefined;
}

/** Stores the record of a purge or an erasure. `run` is of the transaction that deletes. */
export async function audit(
  { caller, server }: Pick<Call, "caller" | "server">,
  run: Run,
  entry: AuditEntry,
): Promise<void> {
  const { tenant } = caller;
  const { action, deleted, userId } = entry;
  const user = userId === undefined ? undefined : auditDigest(tenant, userId);
  const names = inOwnNames(entry.asked, caller.scope);
  const asked = userId === undefined ? names : withoutUser(tenant, names, userId);
  const message = {
    type: auditType,
    id: randomUUID(),
    dataJson: JSON.stringify({ action, asked, deleted, user }),
    clearUserId: false,
    clearMetadata: false,
  };
  const author = userId === undefined ? caller : authorWithout(caller, userId);
  const version = newVersion(author, server, message, { requestId: undefined });
  const outcome = await versionWrites.runOne(run, version, "wait", 1);
  if (!("result" in outcome)) throw new CortexError("CONFLICT");
}

/** The names in the request as its caller knows them, with the path of their scope. */
function inOwnNames(asked: Record<string, unknown>, scope: string): Record<string, unknown> {
  if (scope === "") return asked;
  const json = JSON.stringify(asked, (_, value) =>
    typeof value === "string" ? ownName(value) : value,
  );
  return { scope: stepsOf(scope), ...(JSON.parse(json) as Record<string, unknown>) };
}

/** True if a text has the user's id as a word of its own. */
function names(text: string, userId: string): boolean {
  const id = userId.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  return new RegExp(`(?<![\\p{L}\\p{N}])${id}(?![\\p{L}\\p{N}])`, "u").test(text);
}

/** The names in the request, with a digest in place of each text that names the user. */
function withoutUser(tenant: string, asked: Record<string, unknown>, userId: string) {
  const json = JSON.stringify(asked, (_, value) =>
    typeof value === "string" && names(value, userId) ? auditDigest(tenant, value) : value,
  );
  return JSON.parse(json) as Record<string, unknown>;
}

/** The author, without an agent or principal that names the user: users may purge or erase themselves. */
function authorWithout({ tenant, agent, principal }: Author, userId: string): Author {
  const shown = (text: string | undefined) =>
    text !== undefined && names(text, userId) ? undefined : text;
  return { tenant, agent: shown(agent), principal: shown(principal) };
}

// The tenant's own log: each purge and erasure leaves an immutable record of the type `audit-log`, in the transaction that did it. It says
// who did what, and how much, never what it was; users it names by a digest.
import { createHash, randomUUID } from "node:crypto";
import { CortexError } from "../../errors/reasons.js";
import type { Run } from "../../postgres/connection.js";
import { type Author, auditIdPrefix, auditType, newVersion, storeAll } from "../versions/store.js";

/** Names a user to whoever knows the id already, and to nobody else. */
export const userDigest = (tenant: string, id: string): string =>
  createHash("sha256").update(`${tenant}\0${id}`).digest("hex");

export interface AuditEntry {
  /** Such as `MutableStore.PurgeMany`. */
  action: string;
  /** What was asked for, in names. */
  asked: Record<string, unknown>;
  /** How many rows went, by what they are. */
  deleted: Record<string, number>;
  /** Whose data it was, if it was one user's: the record goes with the user. */
  userId?: string | undefined;
}

export async function audit(
  author: Author,
  run: Run,
  { action, asked, deleted, userId }: AuditEntry,
): Promise<void> {
  const message = {
    type: auditType,
    id: `${auditIdPrefix}${randomUUID()}`,
    dataJson: JSON.stringify({ action, asked, deleted }),
    userId,
    clearUserId: false,
    clearMetadata: false,
  };
  const [stored] = await storeAll(run, [newVersion(author, message, undefined)], {
    wait: true,
    attempts: 1,
  });
  if (!stored || stored === "locked" || !("row" in stored)) throw new CortexError("CONFLICT"); // the user went meanwhile
}

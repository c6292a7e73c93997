// Writes of versions, as a kind of the one write path (write-path.ts).
import { CortexError } from "../../errors/reasons.js";
import { claimLockName } from "../claims/claim.js";
import { fenceStale, type Guard } from "../claims/guard.js";
import { requestLockName, userLockName } from "../locks.js";
import { type Outcome, WriteKind } from "../write-path.js";
import { typeLockName } from "./name.js";
import type { NewVersion } from "./new-version.js";
import { fillOmitted } from "./omitted.js";
import { type StatementRow, statement } from "./statement.js";
import type { RecordRow } from "./version.js";

/** Stores versions of distinct records. */
export const versionWrites = new WriteKind<NewVersion, StatementRow, RecordRow>({
  statement,
  outcomes: (versions, rows) =>
    versions.map((version, i) => outcomeOf(version, rows[i] as StatementRow)),
  async parseReply(reply, version, { caller, db }) {
    const row = recordOf(reply, version);
    await fillOmitted(db.short, caller.tenant, [row]);
    return row;
  },
  replyBytes: ({ metadata }) => 512 + metadata.length,
  addsExactly: true,
});

function outcomeOf(version: NewVersion, row: StatementRow): Outcome<RecordRow> {
  const { repeats, reply, refusal } = row;
  if (repeats !== null) return { repeated: { fingerprint: repeats, reply } };
  switch (refusal) {
    case null:
      return { result: recordOf(row.cells, version) };
    case "RECORD_LOCKED":
      return { lockedBy: version.keys[0] as string };
    case "TYPE_LOCKED":
      return { lockedBy: typeLockName(version.tenant, version.type) };
    case "USER_LOCKED":
      return { lockedBy: userLockName(version.tenant, row.said_user ?? "") };
    case "REQUEST_LOCKED":
      return { lockedBy: requestLockName(version.tenant, version.idempotencyKey?.id ?? "") };
    case "CLAIM_LOCKED":
      return { lockedBy: claimLockName(version.tenant, version.guard?.name ?? "") };
    case "FENCE_STALE":
      return { refused: fenceStale(version.guard as Guard), index: 0 };
    case "FOREIGN":
      throw new Error("a statement found the row of another tenant");
    case "USER_NOT_FOUND":
      return { refused: new CortexError(refusal, { user_id: version.userId ?? "" }), index: 0 };
    case "VERSION_MISMATCH":
      return { refused: versionMismatch(version, row.version), index: 0 };
  }
}

export const versionMismatch = ({ type, id, ifVersion }: NewVersion, current: number) =>
  new CortexError("VERSION_MISMATCH", {
    type,
    id,
    expected_version: `${ifVersion}`,
    current_version: `${current}`,
  });

/** The record in a stored reply. The reply leaves out what the request has, such as the data. */
function recordOf(reply: string, { type, id, data, requestId }: NewVersion): RecordRow {
  const stored = JSON.parse(reply) as {
    version: number;
    first_version: number;
    created_at: number;
    first_created_at: number;
    user_id: string | null;
    agent_id: string | null;
    principal?: string | null;
    /** null: it was large, and is left out. */
    metadata: string | null;
    digest: string;
    salt: string;
  };
  return {
    ...stored,
    metadata: stored.metadata ?? "",
    omitted: stored.metadata === null,
    type,
    id,
    data,
    created_at: new Date(stored.created_at),
    first_created_at: new Date(stored.first_created_at),
    principal: stored.principal ?? null,
    request_id: requestId ?? null,
  };
}

// Appending entries to streams, as a kind of the one write path (write-path.ts).
import { CortexError } from "../../errors/reasons.js";
import { quotaExceeded, type Room } from "../../runtime/quotas.js";
import { idText } from "../../validation/stream-fields.js";
import { notMade } from "../claims/admission.js";
import { userLockName } from "../locks.js";
import { type Outcome, WriteKind } from "../write-path.js";
import { type AppendRow, statement } from "./append-statement.js";
import type { AppendWrite } from "./new-entries.js";
import { streamLockName } from "./stream.js";

/** The stream was there lately, and was deleted since: nothing is appended. */
export class StreamUnknown extends CortexError {
  constructor() {
    super("CONFLICT");
  }
}

/** The ids of the entries. */
export interface Appended {
  ids: string[];
}

export const appendWrites = new WriteKind<AppendWrite, AppendRow, Appended>({
  statement,
  outcomes: (writes, rows) => writes.map((write, i) => outcomeOf(write, rows[i] as AppendRow)),
  parseReply: async (reply, write) => {
    const { ms, seq } = JSON.parse(reply) as { ms: number; seq: number };
    return appended(write, ms, seq);
  },
  replyBytes: () => 32,
  addsExactly: false,
});

const appended = ({ entries }: AppendWrite, ms: number, seq: number): Appended => ({
  ids: entries.map(({ id }, i) => idText(id ?? { ms, seq: seq + i })),
});

function outcomeOf(write: AppendWrite, row: AppendRow): Outcome<Appended> {
  const { tenant, stream, entries, room } = write;
  const { refusal, user_place, ms, seq, last_ms, last_seq } = row;
  const userId = entries[user_place ?? 0]?.userId ?? "";
  const refused = (error: CortexError) => ({ refused: error, index: 0 });
  switch (refusal) {
    case null:
      return { result: appended(write, Number(ms), Number(seq)) };
    case "REPEATED":
    case "REQUEST_LOCKED":
    case "CLAIM_LOCKED":
    case "FENCE_STALE":
      return notMade(write, refusal, row);
    case "STREAM_UNKNOWN":
      return refused(new StreamUnknown());
    case "STREAM_LOCKED":
      return { lockedBy: streamLockName(tenant, stream) };
    case "USER_LOCKED":
      return { lockedBy: userLockName(tenant, userId) };
    case "USER_NOT_FOUND":
      return refused(new CortexError(refusal, { user_id: userId }));
    case "ENTRY_ID_TOO_LOW": {
      const lastId = idText({ ms: last_ms ?? "", seq: last_seq ?? "" });
      return refused(new CortexError(refusal, { stream, last_id: lastId }));
    }
    case "QUOTA_KEYS":
      return refused(quotaExceeded("keys", room as Room));
    case "QUOTA_BYTES":
      return refused(quotaExceeded("bytes", room as Room));
  }
}

// Publishing events, as a kind of the one write path (write-path.ts).
import { CortexError } from "../../errors/reasons.js";
import { notMade } from "../claims/admission.js";
import { userLockName } from "../locks.js";
import { type Outcome, WriteKind } from "../write-path.js";
import type { EventWrite } from "./event.js";
import { type EventRow, statement } from "./statement.js";

/** The result of a publish is empty. */
type Published = Record<never, never>;

export const eventWrites = new WriteKind<EventWrite, EventRow, Published>({
  statement,
  outcomes(writes, rows) {
    let next = 0;
    return writes.map((write) => {
      const own = rows.slice(next, next + write.events.length);
      next += write.events.length;
      return outcomeOf(write, own);
    });
  },
  parseReply: async () => ({}),
  replyBytes: () => 2,
  addsExactly: true,
});

function outcomeOf(write: EventWrite, rows: EventRow[]): Outcome<Published> {
  const { tenant, events } = write;
  const index = rows.findIndex(({ refusal }) => refusal !== null);
  const row = rows[index];
  if (!row) return { result: {} };
  const { refusal, bytes_max } = row;
  const userId = events[index]?.userId ?? "";
  const refused = (error: CortexError) => ({ refused: error, index });
  switch (refusal) {
    case "REPEATED":
    case "REQUEST_LOCKED":
    case "CLAIM_LOCKED":
    case "FENCE_STALE":
      return notMade(write, refusal, row, index);
    case "USER_LOCKED":
      return { lockedBy: userLockName(tenant, userId) };
    case "USER_NOT_FOUND":
      return refused(new CortexError(refusal, { user_id: userId }));
    case "WATCH_DISABLED":
      return refused(new CortexError(refusal));
    default:
      return refused(tooMuch(bytes_max));
  }
}

const tooMuch = (bytesMax: string): CortexError =>
  new CortexError("OVERLOADED", {
    applied: "no",
    problem: "the tenant has published too much within the last seconds",
    limit: `${bytesMax} bytes of all tenants`,
    retry_after_ms: "1000",
  });

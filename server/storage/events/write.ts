// Publishing events, as a kind of the one write path (write-path.ts).
import { CortexError } from "../../errors/reasons.js";
import { claimLockName } from "../claims/claim.js";
import { fenceStale, type Guard } from "../claims/guard.js";
import { requestLockName, userLockName } from "../locks.js";
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
  const { tenant, events, guard, idempotencyKey } = write;
  const index = rows.findIndex(({ refusal }) => refusal !== null);
  const row = rows[index];
  if (!row) return { result: {} };
  const { refusal, repeats, reply, bytes_max } = row;
  const userId = events[index]?.userId ?? "";
  const refused = (error: CortexError) => ({ refused: error, index });
  switch (refusal) {
    case "REPEATED":
      return { repeated: { fingerprint: repeats ?? "", reply } };
    case "REQUEST_LOCKED":
      return { lockedBy: requestLockName(tenant, idempotencyKey?.id ?? "") };
    case "CLAIM_LOCKED":
      return { lockedBy: claimLockName(tenant, guard?.name ?? "") };
    case "USER_LOCKED":
      return { lockedBy: userLockName(tenant, userId) };
    case "FENCE_STALE":
      return refused(fenceStale(guard as Guard));
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

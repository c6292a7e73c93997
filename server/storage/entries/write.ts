// The way of a write: in a statement that calls share, unless it is too large for that, once.

import type { CortexError } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import { type Batchable, weightMax } from "../../runtime/group-commit.js";
import type { Quotas, Room } from "../../runtime/quotas.js";
import { findStoredReply, matchReply } from "../idempotency.js";
import { untilUnlocked } from "../write-path.js";
import {
  type AtomicWrite,
  addsOf,
  apply,
  type Outcome,
  type Refusal,
  type Result,
} from "./apply.js";
import { refusalOf } from "./refuse.js";
import { operationResultsIn } from "./reply.js";

/** Units that share a statement. */
const writes: Batchable<AtomicWrite, Outcome> = {
  run: (run, units) => apply(run, units, { wait: false }),
  weight: ({ weight }) => weight,
  touches: ({ touches }) => touches,
};

/** The name of what a list in a transaction holds: a namespace that nobody creates a key in. */
export const namespaceId = (tenant: string, namespace: string): string => `${tenant}\0${namespace}`;

/** Applies a unit, once: its results, one for each operation. */
export async function write(
  call: Call,
  unit: AtomicWrite,
  refuse: (refusal: Refusal) => CortexError = (refusal) => refusalOf(unit, refusal),
): Promise<Result[]> {
  const room = await call.quotas.room(call.tenant, addsOf(unit));
  const refused = (refusal: Refusal) => quotaRefusal(call.quotas, room, refusal) ?? refuse(refusal);
  const limited = room && { ...unit, room };
  const outcome = await untilUnlocked(call, {
    names: unit.keys,
    others: unit.operations.map(({ tenant, namespace }) => namespaceId(tenant, namespace)),
    together: () =>
      limited || unit.weight > weightMax ? alone(call, limited ?? unit) : call.share(writes, unit),
    alone: () => alone(call, limited ?? unit),
  });
  if ("refusal" in outcome && unit.request) {
    // What refuses it may be what a repeat of it has done since the statement looked for one.
    const reply = await findStoredReply(call.run, unit.tenant, unit.request);
    if (reply !== undefined) return operationResultsIn(reply, unit.operations);
  }
  return settle(unit, outcome, refused);
}

/** A refusal for want of room. */
export function quotaRefusal(
  quotas: Quotas,
  room: Room | undefined,
  { reason }: Refusal,
): CortexError | undefined {
  if (!room || (reason !== "QUOTA_KEYS" && reason !== "QUOTA_BYTES")) return undefined;
  return quotas.refusal(reason === "QUOTA_KEYS" ? "keys" : "bytes", room);
}

/** In a statement of its own, which waits for locks. */
async function alone({ patient }: Call, unit: AtomicWrite): Promise<Outcome> {
  const [outcome] = await apply(patient, [unit], { wait: true });
  return outcome as Outcome;
}

export function settle(
  unit: AtomicWrite,
  outcome: Exclude<Outcome, "locked">,
  refuse: (refusal: Refusal) => CortexError,
): Result[] {
  if ("results" in outcome) return outcome.results;
  if ("refusal" in outcome) throw refuse(outcome.refusal);
  return operationResultsIn(matchReply(unit.request, outcome.repeated), unit.operations);
}

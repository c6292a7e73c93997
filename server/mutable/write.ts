// The way of a write: together with others, unless a key is locked. Then it waits for the key in memory if the lock is held on this
// server, else in the database, one call a key.
import { setTimeout as pause } from "node:timers/promises";
import type { Call } from "../call.js";
import { CortexError } from "../errors.js";
import { keptReply } from "../request.js";
import { type Shared, weightMax } from "../share.js";
import { apply, type Outcome, type Refusal, type Result, type Unit } from "./apply.js";
import { refusalOf } from "./refuse.js";
import { resultsIn } from "./reply.js";

/** Units that share a statement. */
const writes: Shared<Unit, Outcome> = {
  run: (run, units) => apply(run, units, { wait: false }),
  weight: ({ weight }) => weight,
  touches: ({ touches }) => touches,
};

/** The name of what a list in a transaction holds: a namespace that nobody creates a key in. */
export const namespaceId = (tenant: string, namespace: string): string => `${tenant}\0${namespace}`;

/** Applies a unit, once: its results, one for each operation. */
export async function write(
  call: Call,
  unit: Unit,
  refuse: (refusal: Refusal) => CortexError = (refusal) => refusalOf(unit, refusal),
): Promise<Result[]> {
  const { locks } = call;
  let names = unit.keys;
  for (let attempt = 1; ; attempt++) {
    const written = locks.held(names) ? await locks.pass(names, call.signal) : undefined;
    let outcome: Outcome;
    try {
      outcome = unit.weight > weightMax ? await alone(call, unit) : await call.share(writes, unit);
    } finally {
      written?.();
    }
    if (outcome === "locked") {
      names = [...unit.keys, ...unit.operations.map((o) => namespaceId(o.tenant, o.namespace))];
      if (locks.held(names)) continue;
      // Another server's statement is done in a moment.
      if (attempt <= 2) await pause(attempt, undefined, { signal: call.signal }).catch(ended(call));
      else outcome = await patiently(call, unit);
    }
    if (outcome === "locked") continue;
    if ("refusal" in outcome && unit.request) {
      // What refuses it may be what a repeat of it has done since the statement looked for one.
      const reply = await keptReply(call.run, unit.tenant, unit.request);
      if (reply !== undefined) return resultsIn(reply, unit.operations);
    }
    return settle(unit, outcome, refuse);
  }
}

const ended = (call: Call) => () => {
  throw call.signal.reason;
};

/** Waits for the locks in the database, on behalf of all who want the first of the keys. */
async function patiently(call: Call, unit: Unit): Promise<Outcome> {
  const { locks, signal } = call;
  const [name = ""] = unit.keys;
  const owner = {};
  await locks.own(name, owner, signal);
  try {
    return await alone(call, unit);
  } finally {
    locks.release(name, owner);
  }
}

/** In a statement of its own, which waits for locks. */
async function alone({ patient }: Call, unit: Unit): Promise<Outcome> {
  const [outcome] = await apply(patient, [unit], { wait: true });
  return outcome as Outcome;
}

export function settle(
  unit: Unit,
  outcome: Exclude<Outcome, "locked">,
  refuse: (refusal: Refusal) => CortexError,
): Result[] {
  if ("results" in outcome) return outcome.results;
  if ("refusal" in outcome) throw refuse(outcome.refusal);
  const { fingerprint, reply } = outcome.repeated;
  if (fingerprint === unit.request?.fingerprint) return resultsIn(reply, unit.operations);
  throw new CortexError("REQUEST_ID_REUSED", { request_id: unit.request?.id ?? "" });
}

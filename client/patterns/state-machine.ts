// State machines: allowed transitions, each of which is recorded as a version in ImmutableStore.

import type { ClaimGuard } from "../core/call-options.js";
import { CortexError, refused } from "../core/error.js";
import type { ImmutableVersion } from "../immutable/versions.js";
import type { Transaction } from "../mutable/transactions/callback.js";
import type { Surface } from "../scopes/scope.js";
import { unwrapErrors } from "./unwrap-errors.js";

/** A kind of state machine. */
export interface StateMachine<S extends string = string> {
  /** The namespace in MutableStore of the current states; also the type in ImmutableStore of the transitions. */
  name: string;
  /** The state before the first transition. */
  initial: S;
  /** The allowed next states of each state. A state that is missing here, or has an empty list, is final. */
  transitions: { readonly [From in S]?: readonly S[] };
}

/** Where a machine is. */
export interface MachineState<S extends string = string> {
  state: S;
  /** The data of the last transition that gave data; null if none did. */
  data: any;
  /** How many transitions there were. */
  step: number;
}

export interface TransitionOptions<S extends string> {
  /** Only from this state, or one of these. Default: from any that allows it. */
  from?: S | readonly S[] | undefined;
  /** Any JSON value that belongs to the new state. Default: the data of the state before. */
  data?: unknown;
  /** The claim that the caller must hold: see WriteOptions. */
  claim?: ClaimGuard | undefined;
  timeoutMs?: number | undefined;
}

/**
 * Where the machine with an id is. One that was never started is in its initial state. INVALID_DATA if the key holds
 * something else.
 */
export async function stateOf<S extends string>(
  cortex: Surface,
  machine: StateMachine<S>,
  id: string,
): Promise<MachineState<S>> {
  check(machine);
  return currentState(machine, await cortex.mutable.get(machine.name, id));
}

/**
 * Makes a transition. In one transaction it checks that the current state allows it, stores the new state, and stores
 * a version `{ from, to, step, data }` under the type `machine.name` and the id. If several callers make transitions
 * at once, they run one after the other: each starts from the state that the one before stored.
 *
 * @returns Where the machine is now.
 * @throws CortexError TRANSITION_NOT_ALLOWED (`details.from`, `details.to`, `details.allowed`), FENCE_STALE;
 * INVALID_DATA if the key holds something else.
 *
 * ```ts
 * const jobs = { name: "jobs", initial: "pending", transitions: { pending: ["running"], running: ["done", "failed"] } };
 * await transition(cortex, jobs, "job-7", "running", { data: { worker: "w-1" } });
 * ```
 */
export async function transition<S extends string>(
  cortex: Surface,
  machine: StateMachine<S>,
  id: string,
  to: NoInfer<S>,
  { from, data, claim, timeoutMs }: TransitionOptions<NoInfer<S>> = {},
): Promise<MachineState<S>> {
  check(machine);
  const { name, transitions } = machine;
  const work = (tx: Transaction): MachineState<S> => {
    const current = currentState(machine, tx.get(name, id));
    const allowed = (Object.hasOwn(transitions, current.state) && transitions[current.state]) || [];
    const wanted = from === undefined ? undefined : [from].flat();
    if (!allowed.includes(to) || (wanted && !wanted.includes(current.state)))
      throw notAllowed(id, current.state, to, allowed, wanted);
    const next = {
      state: to,
      data: data === undefined ? current.data : data,
      step: current.step + 1,
    };
    tx.set(name, id, next);
    const record = { from: current.state, to, step: next.step, data: next.data };
    tx.store({ type: name, id, data: record });
    return next;
  };
  return unwrapErrors(() => cortex.mutable.transaction(work, { claim, timeoutMs }));
}

/** The transitions of a machine, the oldest first: as many as the retention of their type keeps. */
export const transitionsOf = <S extends string>(
  cortex: Surface,
  machine: StateMachine<S>,
  id: string,
): Promise<ImmutableVersion<{ from: S; to: S; step: number; data: any }>[]> =>
  cortex.immutable.getHistory(machine.name, id);

function check({ initial, transitions }: StateMachine): void {
  if (typeof initial !== "string" || typeof transitions !== "object" || transitions === null)
    throw refused("INVALID_OPTIONS", "machine", "has no initial state or no transitions");
  if (!Object.values(transitions).every((next) => next === undefined || Array.isArray(next)))
    throw refused("INVALID_OPTIONS", "transitions", "has a state whose next states are no list");
}

/** The stored state; the beginning if there is none. */
function currentState<S extends string>(
  { name, initial }: StateMachine<S>,
  stored: MachineState<S> | null,
): MachineState<S> {
  if (stored === null) return { state: initial, data: null, step: 0 };
  if (typeof stored.state !== "string" || !Number.isInteger(stored.step))
    throw refused("INVALID_DATA", "id", `holds no state of the machine ${name}`);
  return stored;
}

function notAllowed(
  id: string,
  from: string,
  to: string,
  allowed: readonly string[],
  wanted: readonly string[] = [],
): CortexError {
  const next = allowed.length > 0 ? `only to ${allowed.join(", ")}` : "it is final";
  const there = allowed.includes(to) ? `the caller wants it from ${wanted.join(" or ")}` : next;
  return new CortexError(
    "TRANSITION_NOT_ALLOWED",
    `${id} cannot go from ${from} to ${to}: ${there}`,
    { id, from, to, allowed: allowed.join(", ") },
  );
}

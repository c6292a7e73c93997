// The conversation of Transact: the order of its messages, its time limits, and its end. What it does to the
// database is in storage/transactions/session.ts.
import { createHash } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  FilterSchema,
  type TransactRequest,
  type TransactResponseSchema,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { type Guard, parseGuard } from "../storage/claims/guard.js";
import { parseKey, toRecord } from "../storage/entries/entry.js";
import { parseFilter } from "../storage/entries/filter.js";
import { findStoredReply, type IdempotencyKey, idempotencyKey } from "../storage/idempotency.js";
import { fromReply, type StepResult, toMessages } from "../storage/transactions/result.js";
import { Session } from "../storage/transactions/session.js";
import { parseSteps, stepIdentity } from "../storage/transactions/step.js";
import * as check from "../validation/fields.js";

type Response = MessageInitShape<typeof TransactResponseSchema>["message"];

export async function* transact(requests: AsyncIterator<TransactRequest>, call: Call) {
  const { tenant } = call.caller;
  const { config } = call.server;
  const first = await next(requests, call.signal, config.transactionIdleSeconds);
  if (first?.case !== "begin") throw disorder("its first message is not begin");
  const seconds = check.transactionSeconds(first.value.timeoutSeconds, config.transactionSeconds);
  const key = keyOf(first.value.requestId, call);
  const reply = key && (await findStoredReply(call.db.short, tenant, key));
  if (reply) {
    const results = toMessages(await fromReply(reply, call));
    yield answer({ case: "committed", value: { results } });
    return;
  }
  const { signal } = call;
  const timer = setTimeout(() => call.fail(timeout("lasted too long", seconds)), seconds * 1000);
  const session = new Session(call, () => call.db.begin());
  const content = createHash("sha256");
  try {
    yield answer({ case: "begun", value: {} });
    for (;;) {
      const message = await next(requests, signal, config.transactionIdleSeconds);
      if (!message) throw disorder("the stream ended without commit or rollback");
      switch (message.case) {
        case "begin":
          throw disorder("it began twice");
        case "read": {
          const { keys } = message.value;
          if (keys.length === 0 || keys.length > check.operationsMax)
            throw new CortexError("INVALID_OPERATIONS", {
              field: "keys",
              problem: keys.length === 0 ? "are none" : "are too many",
              limit: `${check.operationsMax}`,
              got: `${keys.length}`,
            });
          const entries = keys.map((key, i) => parseKey(tenant, key, `keys[${i}].`));
          yield answer({ case: "read", value: { results: await session.read(entries) } });
          break;
        }
        case "list": {
          const { namespace, keyPrefix, limit } = message.value;
          const prefix = create(FilterSchema, keyPrefix === undefined ? {} : { keyPrefix });
          const filter = parseFilter(tenant, namespace, prefix);
          const records = await session.list(filter, check.limit(limit, 100));
          yield answer({ case: "list", value: { records: records.map(toRecord) } });
          break;
        }
        case "write": {
          const used = session.steps;
          const progress = { used, before: used, requestId: first.value.requestId };
          const steps = parseSteps(call, message.value.operations, progress);
          if (steps.length === 0)
            throw new CortexError("INVALID_OPERATIONS", {
              field: "operations",
              problem: "are none",
            });
          for (const step of steps) content.update(JSON.stringify(stepIdentity(step)));
          const results = toMessages(await session.write(steps));
          yield answer({ case: "written", value: { results } });
          break;
        }
        case "commit": {
          await call.reauthenticate();
          clearTimeout(timer); // a commit on its way is not cut off
          const callers = keyOf(message.value.requestId, call);
          const key = callers && withContent(callers, content.digest("base64url"));
          const guard = parseGuard(tenant, message.value.claim);
          const results = await commit(session, key, guard, call);
          yield answer({ case: "committed", value: { results: toMessages(results) } });
          return;
        }
        case "rollback":
          await session.end();
          yield answer({ case: "rolledBack", value: {} });
          return;
        case undefined:
          throw disorder("a message is empty");
      }
    }
  } finally {
    clearTimeout(timer);
    await session.end();
  }
}

/**
 * Commits. If the request id was used before, gives the results that were stored under it, or throws
 * REQUEST_ID_REUSED if they are of another transaction.
 */
async function commit(
  session: Session,
  key: IdempotencyKey | undefined,
  guard: Guard | undefined,
  { caller, db }: Call,
): Promise<StepResult[]> {
  try {
    await session.commit(key, guard);
    return session.results;
  } catch (error) {
    const reply =
      key && mayBeRepeated(error) && (await findStoredReply(db.short, caller.tenant, key));
    if (reply === undefined || reply === false) throw error;
    return fromReply(reply, { caller, db });
  }
}

/** An earlier attempt may have changed the keys, or its claim may have ended since. */
const mayBeRepeated = (error: unknown): boolean =>
  error instanceof CortexError &&
  (error.reason === "CONFLICT" || error.details.reason === "FENCE_STALE");

/**
 * The key of the transaction. `begin` has a request id before there are operations, so its fingerprint cannot
 * cover them. It covers the caller and the scope: another caller with the same request id gets REQUEST_ID_REUSED.
 */
const keyOf = (requestId: string | undefined, { caller: { principal, reach, scope } }: Call) =>
  idempotencyKey(requestId, "Transact", [principal, reach, ...(scope === "" ? [] : [scope])]);

const withContent = (key: IdempotencyKey, content: string): IdempotencyKey => ({
  ...key,
  fingerprint: `${key.fingerprint}.${content}`,
});

const answer = (message: NonNullable<Response>) => ({ message });

const disorder = (problem: string) => new CortexError("INVALID_TRANSACTION", { problem });

const timeout = (problem: string, seconds: number) =>
  new CortexError("TRANSACTION_TIMEOUT", { problem, limit: `${seconds}` });

/**
 * The caller's next message; undefined if the caller has ended its side of the stream. Throws
 * TRANSACTION_TIMEOUT if no message comes in time.
 */
function next(
  requests: AsyncIterator<TransactRequest>,
  signal: AbortSignal,
  idleSeconds: number,
): Promise<TransactRequest["message"] | undefined> {
  return new Promise((resolve, reject) => {
    const stop = () => settle(() => reject(signal.reason));
    const timer = setTimeout(
      () => settle(() => reject(timeout("had no message for too long", idleSeconds))),
      idleSeconds * 1000,
    );
    const settle = (how: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      how();
    };
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    requests.next().then(
      ({ done, value }) => settle(() => resolve(done ? undefined : value.message)),
      (error: unknown) => settle(() => reject(error)),
    );
  });
}

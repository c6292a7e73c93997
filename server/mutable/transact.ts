// The conversation of Transact: its order, its limits in time, and its end. What it does to the database is in session.ts.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  FilterSchema,
  type TransactRequest,
  type TransactResponseSchema,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { toRecord } from "../storage/entries/entry.js";
import { checkFilter } from "../storage/entries/filter.js";
import { parseKey, parseSteps } from "../storage/entries/operation.js";
import { resultsIn } from "../storage/entries/reply.js";
import { findStoredReply, idempotencyKey } from "../storage/idempotency.js";
import { Session } from "../storage/transactions/session.js";
import * as check from "../validation/fields.js";
import { toResults } from "./commit.js";

type Response = MessageInitShape<typeof TransactResponseSchema>["message"];

export async function* transact(requests: AsyncIterator<TransactRequest>, call: Call) {
  const { tenant, config, run } = call;
  const first = await next(requests, call.signal, config.transactionIdleSeconds);
  if (first?.case !== "begin") throw disorder("its first message is not begin");
  const seconds = check.transactionSeconds(first.value.timeoutSeconds, config.transactionSeconds);
  const request = keyOf(first.value.requestId, call);
  const past = request && (await findStoredReply(run, tenant, request));
  if (past) {
    const results = toResults(resultsIn(past));
    yield answer({ case: "committed", value: { results } });
    return;
  }
  const { signal } = call;
  const timer = setTimeout(() => call.fail(timeout("lasted too long", seconds)), seconds * 1000);
  const session = new Session(call);
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
          const places = keys.map((key, i) => parseKey(tenant, key, `keys[${i}].`));
          yield answer({ case: "read", value: { results: await session.read(places) } });
          break;
        }
        case "list": {
          const { namespace, keyPrefix, limit } = message.value;
          const filter = create(FilterSchema, keyPrefix === undefined ? {} : { keyPrefix });
          const matching = checkFilter(tenant, namespace, filter);
          const records = await session.list(matching, check.limit(limit, 100));
          yield answer({ case: "list", value: { records: records.map(toRecord) } });
          break;
        }
        case "write": {
          const used = session.steps;
          const context = { used, done: used, requestId: first.value.requestId };
          const steps = parseSteps(call, message.value.operations, context);
          if (steps.length === 0)
            throw new CortexError("INVALID_OPERATIONS", {
              field: "operations",
              problem: "are none",
            });
          const results = toResults(await session.write(steps));
          yield answer({ case: "written", value: { results } });
          break;
        }
        case "commit": {
          const results = toResults(session.results);
          clearTimeout(timer); // what is being committed no longer runs out of time
          await session.commit(keyOf(message.value.requestId, call));
          yield answer({ case: "committed", value: { results } });
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

/** Its messages come later than its request id: so it is who asks, and how far that reaches, that tells it from another's. */
const keyOf = (requestId: string | undefined, { principal, reach }: Call) =>
  idempotencyKey(requestId, "Transact", [principal, reach]);

const answer = (message: NonNullable<Response>) => ({ message });

const disorder = (problem: string) => new CortexError("INVALID_TRANSACTION", { problem });

const timeout = (problem: string, seconds: number) =>
  new CortexError("TRANSACTION_TIMEOUT", { problem, limit: `${seconds}` });

/** The caller's next message, undefined at the end of its side. It must come in time. */
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

import type { StoreRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { type Batchable, weightMax } from "../runtime/group-commit.js";
import { findStoredReply, matchReply } from "../storage/idempotency.js";
import { historyBytesMax, pastOf } from "../storage/versions/history.js";
import {
  keptOnce,
  type NewVersion,
  parseStore,
  refusalOf,
  rowIn,
  type Stored,
  storeAll,
  storesAdd,
} from "../storage/versions/store.js";
import { type RecordRow, toRecord } from "../storage/versions/version.js";
import { untilUnlocked } from "../storage/write-path.js";

/** Stores that share a statement. */
const stores: Batchable<NewVersion, Stored> = {
  run: (run, stores) => storeAll(run, stores, { wait: false }),
  weight: ({ weight }) => weight,
  touches: ({ touches }) => touches,
};

export async function store(request: StoreRequest, call: Call) {
  const { tenant, run } = call;
  const asked = keptOnce(parseStore(call, request, request.requestId));
  const row = (await refusedOrKept(call, asked)) ?? (await storeOne(call, asked));
  const history =
    (request.includeHistory ?? true) && call.may("read") && row.first_version < row.version;
  // It is stored by now: whatever becomes of this look, that is what the caller is told.
  const [past] = history ? await pastOf(run, tenant, [row], historyBytesMax).catch(() => []) : [];
  return { record: toRecord(row, past) };
}

/** Where there is no room, the reply of the same request if it was made before. */
async function refusedOrKept(call: Call, store: NewVersion): Promise<RecordRow | undefined> {
  try {
    await call.quotas.check(call.tenant, storesAdd([store]));
    return undefined;
  } catch (error) {
    const reply = store.request && (await findStoredReply(call.run, call.tenant, store.request));
    if (reply === undefined) throw error;
    return rowIn(reply, store);
  }
}

async function storeOne(call: Call, store: NewVersion): Promise<RecordRow> {
  const { tenant, request } = store;
  const stored = await untilUnlocked<Exclude<Stored, "locked">>(call, {
    names: [store.name],
    together: () => (store.weight > weightMax ? alone(call, store) : call.share(stores, store)),
    alone: () => alone(call, store),
  });
  if ("row" in stored) return stored.row;
  if ("repeated" in stored) return rowIn(matchReply(request, stored.repeated), store);
  // What refuses it may be what a repeat of it has done since the statement looked for one.
  const reply = request && (await findStoredReply(call.run, tenant, request));
  if (reply !== undefined) return rowIn(reply, store);
  throw refusalOf(store, stored.refusal);
}

/** In a statement of its own, which waits for the record. */
async function alone({ patient }: Call, store: NewVersion): Promise<Stored> {
  const [stored] = await storeAll(patient, [store], { wait: true });
  return stored as Stored;
}

// A delivery of entries to a consumer, as a write, and what it gives.
import type { EntryId } from "../../validation/stream-fields.js";
import type { Guard } from "../guard.js";
import type { IdempotencyKey } from "../idempotency.js";
import { requestLockName } from "../locks.js";
import type { Write } from "../write-path.js";
import { type Group, groupLockName } from "./group.js";
import type { EntryRow } from "./stream.js";

/** Which pending entries are taken over. */
export interface TakeOver {
  /** Only these; none: any. */
  ids: EntryId[];
  idleSeconds: number;
}

export interface DeliverWrite extends Write, Group {
  consumer: string;
  count: number;
  /** undefined: it reads. */
  takeOver: TakeOver | undefined;
}

export function deliverWrite(
  group: Group & { consumer: string },
  { count, takeOver }: { count: number; takeOver?: TakeOver | undefined },
  { key, guard }: { key: IdempotencyKey | undefined; guard: Guard | undefined },
): DeliverWrite {
  const { tenant } = group;
  const name = groupLockName(group);
  const conflictKeys = [{ name, batchable: false }];
  if (key) conflictKeys.push({ name: requestLockName(tenant, key.id), batchable: false });
  return {
    ...group,
    count,
    takeOver,
    idempotencyKey: key,
    guard,
    keys: [name],
    conflictKeys,
    weight: takeOver ? weightAlone : 4 + Math.floor(count / 16),
    adds: { keys: 0, bytes: 0, versions: 0, pending: takeOver ? 0 : count },
  };
}

const weightAlone = 1000; // it looks at all that is pending

/** An entry that is delivered. */
export interface DeliveredRow extends EntryRow {
  delivery: string;
  deliveries: number;
}

export interface Delivered {
  rows: DeliveredRow[];
  /** Of the group. */
  visibilitySeconds: number;
  /** If nothing was delivered: when a pending entry comes back; undefined: none is pending. */
  waitMs?: number | undefined;
  /** True if nothing was delivered since the tenant may have no more pending. */
  isFull?: boolean;
}

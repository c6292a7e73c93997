// A group of a stream, and deliveries, as requests name them.
import type { Delivery as DeliveryMessage } from "../../../gen/cortex/streams/v1/streams_pb.js";
import { CortexError } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import * as check from "../../validation/fields.js";
import { type EntryId, entryId, group, stream } from "../../validation/stream-fields.js";

export interface Group {
  tenant: string;
  stream: string;
  group: string;
}

/** The group's name in KeyLocks. No namespace is empty, so it equals no other name. */
export const groupLockName = ({ tenant, stream, group }: Group): string =>
  `${tenant}\0\0\0\0\0\0\0\0${stream}\0${group}`;

export const parseGroup = (
  { caller: { tenant } }: Call,
  message: { stream: string; group: string },
): Group => ({ tenant, stream: stream(message.stream), group: group(message.group) });

export const groupNotFound = ({ stream, group }: Group): CortexError =>
  new CortexError("GROUP_NOT_FOUND", { stream, group });

/** A delivery, as a caller names it. */
export interface Delivery extends EntryId {
  /** undefined: whichever it is now. */
  delivery: string | undefined;
}

export function parseDeliveries(messages: DeliveryMessage[]): Delivery[] {
  check.batch("deliveries", messages.length);
  return messages.map(({ id, delivery }, i) => ({
    ...entryId(id, `deliveries[${i}].id`),
    delivery,
  }));
}

export function parseIds(texts: string[]): EntryId[] {
  check.batch("ids", texts.length);
  return texts.map((text, i) => entryId(text, `ids[${i}]`));
}

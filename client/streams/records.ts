// Streams and groups, as they are described.
import type { GroupInfo, StreamInfo } from "../../gen/cortex/streams/v1/streams_pb.js";
import { toDate } from "../core/codec.js";

/** A stream. */
export interface StreamRecord {
  name: string;
  /** How many entries it has. */
  length: number;
  /** The bytes of their data. */
  bytes: number;
  /** undefined: it has no entries. */
  firstId?: string;
  /** The highest id that it has given; undefined: none. */
  lastId?: string;
  createdAt: Date;
}

/** A consumer group of a stream. */
export interface GroupRecord {
  name: string;
  /** The highest id that it has delivered, or after which it began; undefined: none. */
  lastDeliveredId?: string;
  /** How many entries it has not delivered yet; 10 000 stands for more too. */
  lag: number;
  /** How many entries are held or were given back. */
  pending: number;
  deadLetters: number;
  /** How long a consumer may hold an entry. */
  visibilitySeconds: number;
  /** How often an entry is delivered before it becomes a dead letter; undefined: again and again. */
  maxDeliveries?: number;
  /** The consumers that hold entries, if one group was asked for. */
  consumers: { name: string; pending: number; lastDeliveredAt: Date }[];
}

export function toStreamRecord(info: StreamInfo): StreamRecord {
  const { name, length, bytes, firstId, lastId, createTime } = info;
  return {
    name,
    length: Number(length),
    bytes: Number(bytes),
    ...(firstId !== undefined && { firstId }),
    ...(lastId !== undefined && { lastId }),
    createdAt: toDate(createTime),
  };
}

export function toGroupRecord(info: GroupInfo): GroupRecord {
  const { name, lastDeliveredId, lag, pending, deadLetters, consumers } = info;
  const { visibilitySeconds, maxDeliveries } = info;
  return {
    name,
    ...(lastDeliveredId !== undefined && { lastDeliveredId }),
    lag: Number(lag),
    pending: Number(pending),
    deadLetters: Number(deadLetters),
    visibilitySeconds,
    ...(maxDeliveries !== undefined && { maxDeliveries }),
    consumers: consumers.map((one) => ({
      name: one.name,
      pending: Number(one.pending),
      lastDeliveredAt: toDate(one.lastDeliveryTime),
    })),
  };
}

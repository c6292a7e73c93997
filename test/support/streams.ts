// Streams with entries and groups, for the tests of their RPCs.
import type { Cortex, DeliveredEntry, StreamGroup } from "../../client/index.js";

/** Appends the numbers from 1 to n. Gives their ids. */
export const fill = (cortex: Cortex, stream: string, n: number): Promise<string[]> =>
  cortex.streams.appendMany(
    stream,
    Array.from({ length: n }, (_, i) => ({ data: i + 1 })),
  );

/** A group with some entries to read. */
export async function groupWith(
  cortex: Cortex,
  stream: string,
  n: number,
  options: Parameters<StreamGroup["ensure"]>[1] = {},
): Promise<StreamGroup> {
  const group = cortex.streams.group("workers", "a");
  await group.ensure(stream, options);
  if (n > 0) await fill(cortex, stream, n);
  return group;
}

export const dataOf = (entries: readonly { data: unknown }[]): unknown[] =>
  entries.map(({ data }) => data);

export const idsOf = (entries: readonly { id: string }[]): string[] => entries.map(({ id }) => id);

export const numbersOf = (entries: readonly DeliveredEntry[]): number[] =>
  entries.map(({ deliveries }) => deliveries);

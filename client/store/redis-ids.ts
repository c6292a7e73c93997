// Ids of streams as Redis writes them, and ranges of them.
import type { StreamEntry } from "../streams/entry.js";
import type { Streams } from "../streams/streams.js";
import type { StreamReadRange } from "./backend.js";

const pageMax = 1000;

/** The id after which a group begins: `0` is before the first entry, `$` after the last one. */
export function startOf(id: string): string {
  if (id === "$") return "end";
  return id === "0" || id === "0-0" || id === "-" ? "beginning" : id;
}

/** The entries of a range: all of them, or the first `count`. */
export async function rangeOf(
  streams: Streams,
  stream: string,
  { startId = "-", endId = "+", count = Number.POSITIVE_INFINITY, reverse }: StreamReadRange,
): Promise<StreamEntry[]> {
  const entries: StreamEntry[] = [];
  if (count <= 0) return entries;
  const range = {
    ...(startId !== "-" && { from: startId }),
    ...(endId !== "+" && { to: endId }),
    reverse,
    limit: Math.min(count, pageMax),
  };
  for await (const entry of streams.scan(stream, range)) {
    entries.push(entry);
    if (entries.length >= count) break;
  }
  return entries;
}

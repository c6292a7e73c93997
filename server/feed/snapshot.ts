// Snapshots of Postgres (pg_current_snapshot): which transactions are visible at a moment.

export interface Snapshot {
  /** As Postgres writes it: xmin:xmax:xip,xip. */
  text: string;
  /** No transaction from here on is visible. */
  xmax: bigint;
  /** The transactions before `xmax` that are not visible: they were in progress. */
  xip: readonly bigint[];
}

export function parseSnapshot(text: string): Snapshot {
  const [, xmax = "0", xip = ""] = text.split(":");
  return { text, xmax: BigInt(xmax), xip: xip === "" ? [] : xip.split(",").map(BigInt) };
}

export const isSnapshot = (text: string): boolean => /^\d{1,20}:\d{1,20}:[\d,]*$/.test(text);

/** True if all that is visible in `earlier` is visible in `later` too. */
export const includes = (later: Snapshot, earlier: Snapshot): boolean =>
  later.xmax >= earlier.xmax &&
  later.xip.every((xid) => xid >= earlier.xmax || earlier.xip.includes(xid));

/** True if the transaction is visible in the snapshot. */
export const isVisible = ({ xmax, xip }: Snapshot, xid: bigint): boolean =>
  xid < xmax && !xip.includes(xid);

// Every kind of write, under a claim.
import type { Claim, Cortex } from "../../client/index.js";

export type GuardedWrite = [what: string, write: (claim: Claim) => Promise<unknown>];

const key = ["ns", "k"] as const;

/** Stores what the writes would change. */
export async function seedGuarded({ mutable, immutable, streams }: Cortex): Promise<void> {
  await mutable.setMany("ns", { k: "own", n: 1 });
  for (const n of [1, 2]) await immutable.store({ type: "t", id: "i", data: { n } });
  const group = streams.group("g", "c");
  await streams.delete("s");
  await streams.append("s", "own", { id: "1-0" });
  await streams.append("s", "own", { id: "1-1" });
  await group.ensure("s");
  await group.read("s", { count: 1 });
}

export const writes: GuardedWrite[] = [
  ["set", ({ mutable }) => mutable.set(...key, "late")],
  ["update", ({ mutable }) => mutable.update(...key, () => "late")],
  ["increment", ({ mutable }) => mutable.increment("ns", "n")],
  ["delete", ({ mutable }) => mutable.delete(...key)],
  ["setMany", ({ mutable }) => mutable.setMany("ns", { k: "late", b: 1 })],
  ["purgeMany", ({ mutable }) => mutable.purgeMany("ns", { keyPrefix: "k" })],
  ["purgeNamespace", ({ mutable }) => mutable.purgeNamespace("ns")],
  ["purgeAll", ({ mutable }) => mutable.purgeAll()],
  ["store", ({ immutable }) => immutable.store({ type: "t", id: "i", data: { late: 1 } })],
  ["publish", ({ events }) => events.publish("c", "late")],
  ["publishMany", ({ events }) => events.publishMany([{ channel: "c", data: "late" }])],
  ["append", ({ streams }) => streams.append("s", "late")],
  ["appendMany", ({ streams }) => streams.appendMany("s", [{ data: "late" }])],
  ["trim", ({ streams }) => streams.trim("s", { maxLen: 0 })],
  ["ensure", ({ streams }) => streams.group("late", "c").ensure("s")],
  ["read", ({ streams }) => streams.group("g", "c").read("s")],
  ["ack", ({ streams }) => streams.group("g", "c").ack("s", ["1-0"])],
  ["nack", ({ streams }) => streams.group("g", "c").nack("s", ["1-0"])],
  ["takeOver", ({ streams }) => streams.group("g", "late").takeOver("s", { minIdleMs: 0 })],
  ["retry", ({ streams }) => streams.group("g", "c").retry("s", ["1-0"])],
  ["removeConsumer", ({ streams }) => streams.group("g", "c").removeConsumer("s")],
  ["delete of a group", ({ streams }) => streams.group("g", "c").delete("s")],
  ["delete of a stream", ({ streams }) => streams.delete("s")],
  ["purge of a record", ({ immutable }) => immutable.purge("t", "i")],
  ["purgeMany of records", ({ immutable }) => immutable.purgeMany({ type: "t" })],
  ["purgeVersions", ({ immutable }) => immutable.purgeVersions("t", "i", { keepLatest: 1 })],
];

/** Those that fail with TRANSACTION_FAILED if the claim is not held. */
export const transactions: GuardedWrite[] = [
  [
    "a list of operations",
    ({ mutable }) => mutable.transaction([{ op: "set", namespace: "ns", key: "k", value: "late" }]),
  ],
  [
    "a list that publishes",
    ({ mutable }) => mutable.transaction([{ op: "publish", channel: "c", data: "late" }]),
  ],
  [
    "a list that appends",
    ({ mutable }) => mutable.transaction([{ op: "appendEntry", stream: "s", data: "late" }]),
  ],
  ["a callback", ({ mutable }) => mutable.transaction((tx) => tx.set(...key, "late"))],
  [
    "a callback that stores",
    ({ mutable }) =>
      mutable.transaction((tx) => tx.store({ type: "t", id: "i", data: { late: 1 } })),
  ],
  [
    "a callback under locks",
    ({ mutable }) =>
      mutable.transaction(async (tx) => {
        await tx.list("ns");
        tx.set(...key, "late");
      }),
  ],
];

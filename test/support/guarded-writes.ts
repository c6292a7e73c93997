// Every kind of write, under a claim.
import type { Claim } from "../../client/index.js";

export type GuardedWrite = [what: string, write: (claim: Claim) => Promise<unknown>];

const key = ["ns", "k"] as const;

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

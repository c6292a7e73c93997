// Checks that an error's stack has the line of the caller, both if the server refused the call and if no
// server answered.
import { expect, it } from "vitest";
import { Cortex, CortexError } from "../../client/index.js";
import { serve } from "../support/server.js";

const s = serve({ ratePerSecond: 1 });

const first = async (stream: AsyncIterable<unknown>) => {
  for await (const one of stream) return one;
  return undefined;
};

type Call = (cortex: Cortex) => Promise<unknown>;
const held = { name: "n", fence: "1" };
const short = { timeoutMs: 300 }; // purges have a timeout of their own
const entry = { type: "t", id: "i", data: {} };
const calls: [name: string, call: Call][] = [
  ["mutable.set", (c) => c.mutable.set("n", "k", 1)],
  ["mutable.get", (c) => c.mutable.get("n", "k")],
  ["mutable.getRecord", (c) => c.mutable.getRecord("n", "k")],
  ["mutable.exists", (c) => c.mutable.exists("n", "k")],
  ["mutable.update", (c) => c.mutable.update("n", "k", (n) => n + 1)],
  ["mutable.increment", (c) => c.mutable.increment("n", "k")],
  ["mutable.decrement", (c) => c.mutable.decrement("n", "k")],
  ["mutable.append", (c) => c.mutable.append("n", "k", 1)],
  ["mutable.merge", (c) => c.mutable.merge("n", "k", {})],
  ["mutable.delete", (c) => c.mutable.delete("n", "k")],
  ["mutable.purge", (c) => c.mutable.purge("n", "k")],
  ["mutable.transaction", (c) => c.mutable.transaction((tx) => void tx.get("n", "k"))],
  [
    "mutable.transaction of a list",
    (c) => c.mutable.transaction([{ op: "set", namespace: "n", key: "k", value: 1 }]),
  ],
  ["mutable.expire", (c) => c.mutable.expire("n", "k", 1)],
  ["mutable.touch", (c) => c.mutable.touch("n", "k", 1)],
  ["mutable.once", (c) => c.mutable.once("n", `k${Math.random()}`, 1)],
  ["mutable.watch", (c) => first(c.mutable.watch("n", { timeoutMs: 100 }))],
  ["mutable.waitFor", (c) => c.mutable.waitFor("n", "k", () => true)],
  ["mutable.list", (c) => c.mutable.list("n")],
  ["mutable.scan", (c) => first(c.mutable.scan("n"))],
  ["mutable.count", (c) => c.mutable.count("n")],
  ["mutable.listNamespaces", (c) => c.mutable.listNamespaces()],
  ["mutable.getMany", (c) => c.mutable.getMany("n", ["k"])],
  ["mutable.setMany", (c) => c.mutable.setMany("n", { k: 1 })],
  ["mutable.purgeNamespace", (c) => c.mutable.purgeNamespace("n", short)],
  ["mutable.purgeMany", (c) => c.mutable.purgeMany("n", { keyPrefix: "k" }, short)],
  ["mutable.purgeAll", (c) => c.mutable.purgeAll(short)],
  ["immutable.store", (c) => c.immutable.store(entry)],
  ["immutable.get", (c) => c.immutable.get("t", "i")],
  ["immutable.getVersion", (c) => c.immutable.getVersion("t", "i", 1)],
  ["immutable.getAtTimestamp", (c) => c.immutable.getAtTimestamp("t", "i", new Date())],
  ["immutable.getHistory", (c) => c.immutable.getHistory("t", "i")],
  ["immutable.historyStream", (c) => first(c.immutable.historyStream("t", "i"))],
  ["immutable.watch", (c) => first(c.immutable.watch("t", { timeoutMs: 100 }))],
  ["immutable.list", (c) => c.immutable.list()],
  ["immutable.scan", (c) => first(c.immutable.scan())],
  ["immutable.search", (c) => c.immutable.search("q")],
  ["immutable.count", (c) => c.immutable.count()],
  ["immutable.purge", (c) => c.immutable.purge("t", "i", short)],
  ["immutable.purgeMany", (c) => c.immutable.purgeMany({ type: "t" }, { dryRun: true, ...short })],
  [
    "immutable.purgeVersions",
    (c) => c.immutable.purgeVersions("t", "i", { keepLatest: 1, ...short }),
  ],
  ["immutable.verifyHistory", (c) => c.immutable.verifyHistory("t", "i")],
  ["immutable.getRetention", (c) => c.immutable.getRetention()],
  ["claims.once", (c) => c.claims.once("n", 1, { ttlSeconds: 1 })],
  ["claims.acquire", (c) => c.claims.acquire("n", { ttlSeconds: 1 })],
  ["claims.with", (c) => c.claims.with(`n${Math.random()}`, { ttlSeconds: 1 }, () => 1)],
  ["claims.renew", (c) => c.claims.renew(held, { ttlSeconds: 1 })],
  ["claims.release", (c) => c.claims.release(held)],
  ["claims.get", (c) => c.claims.get("n")],
  ["claims.list", (c) => c.claims.list()],
  ["users.create", (c) => c.users.create("u")],
  ["users.upsert", (c) => c.users.upsert("u")],
  ["users.update", (c) => c.users.update("u", {})],
  ["users.delete", (c) => c.users.delete("u")],
  ["users.export", (c) => first(c.users.export("u"))],
  ["users.get", (c) => c.users.get("u")],
  ["users.list", (c) => c.users.list()],
];

it("every method is tried", () => {
  const cortex = s.client();
  const methods = (["mutable", "immutable", "users", "claims"] as const).flatMap((store) =>
    Object.getOwnPropertyNames(Object.getPrototypeOf(cortex[store]))
      .filter((name) => name !== "constructor" && name !== "close")
      .map((name) => `${store}.${name}`),
  );
  expect(methods.filter((method) => !calls.some(([name]) => name === method))).toEqual([]);
});

/** Makes the call and returns its error. The stack of the error must show this function as the caller. */
async function lineOfTheCaller(call: Call, cortex: Cortex): Promise<unknown> {
  try {
    await call(cortex);
  } catch (error) {
    return error;
  }
  return undefined;
}

it.each(calls)("the stack of %s leads to the caller if the server refused", async (_, call) => {
  await using cortex = new Cortex({ address: s.address, timeoutMs: 300 });
  // The first calls may succeed. Then the rate limit refuses one.
  let error: unknown;
  while (error === undefined) error = await lineOfTheCaller(call, cortex);
  expect(error).toBeInstanceOf(CortexError);
  expect((error as CortexError).stack).toContain("lineOfTheCaller");
});

it.each(calls)("the stack of %s leads to the caller if there is no server", async (_, call) => {
  await using cortex = new Cortex({ address: "127.0.0.1:1", timeoutMs: 100 });
  const error = await lineOfTheCaller(call, cortex);
  expect(error).toBeInstanceOf(CortexError);
  expect(error).toMatchObject({ code: "UNAVAILABLE", details: { address: "127.0.0.1:1" } });
  expect((error as CortexError).message).toContain("no server can be reached at 127.0.0.1:1");
  expect((error as CortexError).stack).toContain("lineOfTheCaller");
});

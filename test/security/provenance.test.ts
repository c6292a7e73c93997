// Tests which agent is recorded with a write; the agent names itself. (test/security/auth.test.ts tests the
// principal, who is authenticated.)
import { describe, expect, it } from "vitest";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const ns = "who";

describe("an entry says which agent wrote it last,", () => {
  it("by any kind of write; a write without an agent leaves none", async () => {
    const [one, two] = [s.client({ agentId: "agent-1" }), s.client({ agentId: "agent 2/" })];
    const by = async (key: string) => (await s.cortex.mutable.getRecord(ns, key))?.updatedBy;
    expect((await one.mutable.set(ns, "k", 1)).updatedBy).toBe("agent-1");
    expect((await two.mutable.increment(ns, "k")).updatedBy).toBe("agent 2/");
    await one.mutable.update(ns, "k", (n) => n + 1);
    expect(await by("k")).toBe("agent-1");
    await two.mutable.transaction((tx) => {
      tx.update<number>(ns, "k", (n) => n + 1);
      tx.set(ns, "l", 1);
    });
    expect([await by("k"), await by("l")]).toEqual(["agent 2/", "agent 2/"]);
    await one.mutable.setMany(ns, { k: 1, m: 1 });
    expect([await by("k"), await by("l"), await by("m")]).toEqual([
      "agent-1",
      "agent 2/",
      "agent-1",
    ]);
    expect(await s.cortex.mutable.set(ns, "k", 1)).not.toHaveProperty("updatedBy");
    await one.mutable.set(ns, "k", 2, { requestId: "again" });
    await two.mutable.set(ns, "k", 3);
    const repeated = await two.mutable.set(ns, "k", 2, { requestId: "again" });
    expect(repeated).toMatchObject({ value: 2, updatedBy: "agent-1" }); // the stored reply
    expect(await by("k")).toBe("agent 2/");
  });

  it("so that lists, counts and purges can filter by it", async () => {
    for (const agentId of ["a", "b"])
      await s
        .client({ agentId })
        .mutable.setMany("filtered", { [`${agentId}1`]: 1, [`${agentId}2`]: 2 });
    const { mutable } = s.cortex;
    const { records, total } = await mutable.list("filtered", { updatedBy: "a" });
    expect([records.map(({ key }) => key), total]).toEqual([["a1", "a2"], 2]);
    expect(await mutable.count("filtered", { updatedBy: "b" })).toBe(2);
    expect(await mutable.count("filtered", { updatedBy: "c" })).toBe(0);
    expect(await mutable.count("filtered", { principal: "a" })).toBe(0);
    expect((await mutable.purgeMany("filtered", { updatedBy: "b" })).deleted).toBe(2);
    for (const filter of [{ updatedBy: "" }, { principal: "" }])
      await expect(mutable.list("filtered", filter)).toFailWith("INVALID_FILTER");
    const page = await mutable.list("filtered", { updatedBy: "a", limit: 1 });
    await expect(mutable.list("filtered", { pageToken: page.nextPageToken, limit: 1 })).toFailWith(
      "INVALID_PAGE_TOKEN",
    );
  });
});

it("records can be filtered by who stored their current version", async () => {
  const [one, two] = [s.client({ agentId: "one" }), s.client({ agentId: "two" })];
  await one.immutable.store({ type: "t", id: "i", data: {} });
  await one.immutable.store({ type: "t", id: "j", data: { text: "found" } });
  await two.immutable.store({ type: "t", id: "i", data: {} });
  const { immutable } = s.cortex;
  const ids = async (agentId: string) =>
    (await immutable.list({ agentId })).records.map(({ id }) => id);
  expect([await ids("one"), await ids("two")]).toEqual([["j"], ["i"]]);
  expect(await immutable.count({ agentId: "one" })).toBe(1);
  expect(await immutable.search("found", { agentId: "two" })).toEqual([]);
  expect(await immutable.search("found", { agentId: "one" })).toHaveLength(1);
  expect(await immutable.count({ principal: "one" })).toBe(0);
  await expect(immutable.list({ agentId: "" })).toFailWith("INVALID_FILTER");
});

it("an agent id that is too long is refused, whatever is called", async () => {
  const raw = new Raw(s.address);
  const call = (agent: string) =>
    raw.call(MutableStore.method.get, { namespace: ns, key: "k" }, { "x-agent-id": agent });
  expect(await call("x".repeat(256))).not.toHaveProperty("reason");
  expect(await call("x".repeat(257))).toMatchObject({
    reason: "INVALID_AGENT_ID",
    details: { limit: "256 bytes", got: "257" },
  });
  raw.close();
});

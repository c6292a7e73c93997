import { expect, it } from "vitest";
import type { Cortex, Scope } from "../../client/index.js";
import { Scopes } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();

async function fill(one: Cortex | Scope, options = {}) {
  await one.mutable.set("ns", "k", 1, options);
  await one.mutable.set("ns2", "k", 1, options);
  for (const n of [1, 2, 3])
    await one.immutable.store({ type: "note", id: "a", data: { n }, ...options });
  await one.claims.acquire("leader", { ttlSeconds: 60, ...options });
  await one.streams.append("jobs", 1, options);
  const group = one.streams.group("g", "c");
  await group.ensure("jobs");
  await group.read("jobs");
}

const all = { entries: 2, records: 1, versions: 3, claims: 1, streams: 1 };
const twice = { entries: 4, records: 2, versions: 6, claims: 2, streams: 2 };
const none = { entries: 0, records: 0, versions: 0, claims: 0, streams: 0 };

it("deletes what is in a scope and below it, and nothing else", async () => {
  const cortex = s.client({ tenantId: "purged" });
  const org = cortex.scope("organization", "a");
  const rest = [cortex, cortex.scope("organization", "ab"), cortex.scope("organization", "a w")];
  for (const one of [org, org.scope("workspace", "w"), ...rest]) await fill(one);
  expect(await org.purge({ dryRun: true })).toEqual({ ...twice, dryRun: true });
  expect(await org.purge()).toEqual({ ...twice, dryRun: false });
  expect(await org.purge()).toEqual({ ...none, dryRun: false });
  expect(await org.mutable.get("ns", "k")).toBeNull();
  expect(await org.scope("workspace", "w").immutable.get("note", "a")).toBeNull();
  expect(await org.claims.get("leader")).toBeNull();
  expect((await org.streams.list()).streams).toEqual([]);
  expect((await cortex.scopes()).scopes.map(({ identifier }) => identifier)).toEqual(["a w", "ab"]);
  for (const one of rest.slice(1))
    expect(await (one as Scope).purge({ dryRun: true })).toMatchObject(all);
  expect(await cortex.mutable.get("ns", "k")).toBe(1);
  await fill(org); // all of it can be created anew
  expect(await org.purge({ dryRun: true })).toMatchObject(all);
});

it("is applied once by its request id", async () => {
  const scope = s.cortex.scope("organization", "once");
  await fill(scope);
  const first = await scope.purge({ requestId: "purge-once" });
  expect(first).toMatchObject(all);
  await scope.mutable.set("ns", "k", 2);
  expect(await scope.purge({ requestId: "purge-once" })).toEqual(first);
  expect(await scope.mutable.get("ns", "k")).toBe(2);
  const others = [s.cortex.scope("organization", "other"), scope.scope("workspace", "w")];
  for (const other of others)
    await expect(other.purge({ requestId: "purge-once" })).toFailWith("REQUEST_ID_REUSED");
});

it("leaves a record in the audit trail, without the user whose data it was", async () => {
  const cortex = s.client({ tenantId: "audited" });
  await cortex.users.upsert("jo", {});
  await fill(cortex.scope("organization", "a"));
  await fill(cortex.scope("user", "jo"), { userId: "jo" });
  await cortex.scope("organization", "a").purge();
  await cortex.scope("user", "jo").purge();
  await cortex.scope("user", "jo").purge(); // of nothing: no record
  await cortex.scope("user", "jo").streams.append("jobs", 1, { userId: "jo" });
  await cortex.scope("user", "jo").purge();
  const { records } = await cortex.immutable.list({ type: "$cortex/audit" });
  expect(records).toHaveLength(3);
  expect(records.map(({ data }) => data)).toContainEqual({
    action: "Scopes.Purge",
    asked: { scope: [["organization", "a"]] },
    deleted: all,
  });
  expect(JSON.stringify(records)).not.toContain('"jo"');
});

it("ends a wait for the claims and the streams in it", async () => {
  const scope = s.cortex.scope("organization", "waiting");
  await fill(scope);
  const waiting = scope.claims.acquire("leader", { ttlSeconds: 60, waitMs: 20_000 });
  await scope.purge();
  expect(await waiting).toMatchObject({ name: "leader" });
});

it("tells those who watch", async () => {
  const scope = s.cortex.scope("organization", "watched");
  await scope.mutable.set("ns", "k", 1);
  const kinds: string[] = [];
  for await (const change of scope.mutable.watch("ns", { includeCurrent: true })) {
    kinds.push(change.kind);
    if (kinds.length === 1) await scope.purge();
    if (change.kind === "purge") break;
  }
  expect(kinds.at(-1)).toBe("purge");
});

it("needs a scope", async () => {
  const raw = new Raw(s.address);
  expect(await raw.call(Scopes.method.purge, {})).toMatchObject({
    reason: "INVALID_SCOPE",
    details: { field: "scope", problem: "is missing" },
  });
  raw.close();
});

it("refuses options that it does not know", async () => {
  const scope = s.cortex.scope("organization", "options");
  await expect(scope.purge({ dryRun: 1 } as never)).toFailWith("INVALID_OPTIONS");
  await expect(scope.purge({ other: 1 } as never)).toFailWith("INVALID_OPTIONS");
  const claim = { name: "leader", fence: "1" };
  await expect(scope.purge({ claim })).toFailWith("INVALID_OPTIONS");
});

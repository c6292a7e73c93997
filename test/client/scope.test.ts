import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Claim, Cortex, MutableChange, Scope } from "../../client/index.js";
import { Retention } from "../../server/config/retention.js";
import { serve } from "../support/server.js";

const s = serve({
  allowPurgeAll: true,
  retention: new Retention(20, new Map([["note", 2]])),
  sweepSeconds: 0.2,
});
const org = (cortex: Cortex = s.cortex): Scope => cortex.scope("organization", "org_123");

describe("a scope has the whole surface", () => {
  it("MutableStore, whose namespaces are its own", async () => {
    const [scope, inner] = [org(), org().scope("workspace", "ws_456")];
    await s.cortex.mutable.set("ns", "k", "none");
    await scope.mutable.set("ns", "k", "org");
    await inner.mutable.set("ns", "k", "ws");
    expect(await s.cortex.mutable.get("ns", "k")).toBe("none");
    expect(await scope.mutable.getRecord("ns", "k")).toMatchObject({
      namespace: "ns",
      value: "org",
    });
    expect(await inner.mutable.get("ns", "k")).toBe("ws");
    expect(await inner.mutable.update("ns", "k", (v: string) => `${v}!`)).toMatchObject({
      namespace: "ns",
      value: "ws!",
    });
    await scope.mutable.increment("other", "n", 2, { createIfMissing: true });
    const namespaces = async (one: Cortex | Scope, options = {}) =>
      (await one.mutable.listNamespaces(options)).map(({ namespace }) => namespace);
    expect(await namespaces(s.cortex)).toEqual(["ns"]);
    expect(await namespaces(scope)).toEqual(["ns", "other"]);
    expect(await namespaces(scope, { prefix: "o" })).toEqual(["other"]);
    expect(await namespaces(inner)).toEqual(["ns"]);
    expect((await scope.mutable.list("ns")).total).toBe(1);
    expect(await scope.mutable.getMany("ns", ["k", "x"])).toEqual(["org", null]);
    const { results } = await scope.mutable.transaction([
      { op: "set", namespace: "ns", key: "t", value: 1 },
      { op: "delete", namespace: "other", key: "n" },
      { op: "store", type: "note", id: "n", data: { a: 1 } },
      { op: "publish", channel: "c", data: 1 },
    ]);
    expect(results).toMatchObject([
      { namespace: "ns", key: "t" },
      { deleted: true, namespace: "other", key: "n" },
      { type: "note", id: "n" },
      { published: "c" },
    ]);
    await scope.mutable.transaction(async (tx) => {
      expect((await tx.list("ns")).map(({ key }) => key)).toEqual(["k", "t"]);
      tx.set("ns", "u", 1);
    });
    await expect(scope.mutable.update("ns", "none", (v) => v)).rejects.toMatchObject({
      code: "KEY_NOT_FOUND",
      details: { namespace: "ns", key: "none" },
      message: expect.not.stringContaining("org_123"),
    });
    expect(await scope.mutable.purgeNamespace("ns")).toMatchObject({ deleted: 3 });
    expect(await s.cortex.mutable.get("ns", "k")).toBe("none");
    expect(await inner.mutable.get("ns", "k")).toBe("ws!");
  });

  it("ImmutableStore, whose types are its own, with the retention of their names", async () => {
    const scope = s.cortex.scope("organization", "records");
    for (const n of [1, 2, 3]) {
      await scope.immutable.store({ type: "note", id: "a", data: { n, text: "whale" } });
      await s.cortex.immutable.store({ type: "plain", id: "a", data: { n, text: "whale" } });
    }
    await scope.immutable.store({ type: "plan", id: "b", data: { text: "whale" } });
    expect(await scope.immutable.getHistory("note", "a")).toHaveLength(2);
    await pause(500); // a sweep
    expect(await scope.immutable.getHistory("note", "a")).toMatchObject([
      { version: 2 },
      { version: 3 },
    ]);
    const types = async (one: Cortex | Scope) =>
      (await one.immutable.search("whale")).map(({ record }) => record.type).sort();
    expect(await types(s.cortex)).toEqual(["plain"]);
    expect(await types(scope)).toEqual(["note", "plan"]);
    expect((await scope.immutable.list()).records.map(({ type }) => type).sort()).toEqual([
      "note",
      "plan",
    ]);
    expect((await s.cortex.immutable.list({ type: "note" })).total).toBe(0);
    expect(await scope.immutable.count()).toBe(2);
    expect(await s.cortex.immutable.count({})).toBe(1);
    expect(await scope.immutable.count({ type: "plan" })).toBe(1);
    expect(await scope.immutable.verifyHistory("note", "a")).toMatchObject({ valid: true });
    expect(
      await scope.immutable.purgeMany({ createdBefore: new Date(Date.now() + 60_000) }),
    ).toMatchObject({
      records: [
        { type: "note", id: "a" },
        { type: "plan", id: "b" },
      ],
    });
    expect(await s.cortex.immutable.count({})).toBe(1);
    await expect(
      scope.immutable.store({ type: "$cortex/audit", id: "a", data: {} }),
    ).rejects.toMatchObject({ code: "INVALID_TYPE" });
  });

  it("claims, which guard its writes", async () => {
    const scope = s.cortex.scope("organization", "claims");
    expect(await s.cortex.claims.once("leader", 1, { ttlSeconds: 60 })).toBe(true);
    const claim = (await scope.claims.acquire("leader", { ttlSeconds: 60 })) as Claim;
    expect(claim.name).toBe("leader");
    await claim.mutable.set("ns", "k", 1);
    expect(await scope.mutable.get("ns", "k")).toBe(1);
    expect((await scope.claims.list()).claims.map(({ name }) => name)).toEqual(["leader"]);
    expect((await s.cortex.claims.list()).claims).toHaveLength(1);
    await expect(s.cortex.mutable.set("ns", "k", 2, { claim })).rejects.toMatchObject({
      code: "FENCE_STALE",
      details: { claim: "leader" },
    });
    await claim.release();
    await expect(claim.mutable.set("ns", "k", 2)).rejects.toMatchObject({
      details: { claim: "leader" },
    });
    const cortex = s.client();
    void cortex
      .scope("organization", "claims")
      .claims.with("held", { ttlSeconds: 60 }, () => pause(60_000));
    await expect.poll(() => scope.claims.get("held")).not.toBeNull();
    await cortex.close(); // releases what it holds in any scope
    expect(await scope.claims.get("held")).toBeNull();
  });

  it("events, whose wildcards do not cross", async () => {
    const scope = s.cortex.scope("organization", "a:ws:b");
    const nested = s.cortex.scope("organization", "a").scope("ws", "b");
    const got: string[] = [];
    const hear = (name: string, one: Cortex | Scope, pattern: string) =>
      one.events.subscribe(pattern, ({ type, data, scope }) =>
        got.push(`${name} ${pattern} ${type} ${data} ${scope?.identifier}`),
      );
    for (const pattern of ["**", "*", "c:*"]) {
      await hear("none", s.cortex, pattern);
      await hear("scope", scope, pattern);
      await hear("nested", nested, pattern);
    }
    await s.cortex.events.publish("c:d", 1);
    await scope.events.publish("c:d", 2);
    await nested.events.publish("c", 3);
    await expect
      .poll(() => got.sort())
      .toEqual([
        "nested * c 3 b",
        "nested ** c 3 b",
        "none ** c:d 1 undefined",
        "none c:* c:d 1 undefined",
        "scope ** c:d 2 a:ws:b",
        "scope c:* c:d 2 a:ws:b",
      ]);
  });

  it("streams and their groups", async () => {
    const scope = s.cortex.scope("organization", "streams");
    await s.cortex.streams.append("jobs", "none");
    const group = scope.streams.group("g", "c");
    await group.ensure("jobs");
    const reading = group.read("jobs", { blockMs: 20_000 });
    await scope.streams.append("jobs", "own");
    const entries = await reading;
    expect(entries).toMatchObject([{ data: "own" }]);
    expect(await group.ack("jobs", entries)).toBe(1);
    expect((await scope.streams.list()).streams.map(({ name }) => name)).toEqual(["jobs"]);
    expect(await scope.streams.info("jobs")).toMatchObject({ name: "jobs", length: 1 });
    expect((await s.cortex.streams.list()).streams).toHaveLength(1);
    await expect(scope.streams.group("h", "c").read("jobs")).rejects.toMatchObject({
      details: { stream: "jobs", group: "h" },
    });
  });

  it("watches", async () => {
    const scope = s.cortex.scope("organization", "watched");
    const controller = new AbortController();
    const changes: MutableChange[] = [];
    const watching = (async () => {
      for await (const change of scope.mutable.watch("ns", {
        includeCurrent: true,
        signal: controller.signal,
      }))
        changes.push(change);
    })().catch(() => {});
    await scope.mutable.set("ns", "k", 1);
    await s.cortex.mutable.set("ns", "k", 2);
    await scope.mutable.set("ns", "k", 3);
    await expect.poll(() => changes.at(-1)?.value).toBe(3);
    expect(changes.map(({ value }) => value)).not.toContain(2);
    controller.abort();
    await watching;
  });
});

it("a path has its steps, and is refused if one is empty", () => {
  const inner = org().scope("workspace", "ws_456");
  expect(inner.path).toEqual([
    { key: "organization", identifier: "org_123" },
    { key: "workspace", identifier: "ws_456" },
  ]);
  for (const [key, identifier] of [
    ["", "a"],
    ["a", ""],
    [1, "a"],
    ["a", null],
  ])
    expect(() => s.cortex.scope(key as string, identifier as string)).toThrow(
      expect.objectContaining({ code: "INVALID_SCOPE" }),
    );
});

it("a request id is the tenant's, in whatever scope it was used", async () => {
  const options = { requestId: "in-a-scope" };
  await org().mutable.set("once", "k", 1, options);
  await org().mutable.set("once", "k", 1, options);
  await expect(s.cortex.mutable.set("once", "k", 1, options)).rejects.toMatchObject({
    code: "REQUEST_ID_REUSED",
  });
  await expect(
    s.cortex.mutable.transaction([{ op: "set", namespace: "once", key: "k", value: 1 }], options),
  ).rejects.toMatchObject({ code: "REQUEST_ID_REUSED" });
});

it("a user's data is exported and erased in every scope", async () => {
  const scope = s.cortex.scope("organization", "gdpr");
  await s.cortex.users.upsert("jo", {});
  const userId = "jo";
  await scope.mutable.set("sessions", "a", 1, { userId });
  await scope.immutable.store({ type: "note", id: "a", data: { n: 1 }, userId });
  await scope.claims.acquire("c", { ttlSeconds: 60, userId });
  await scope.streams.append("steps", 1, { userId });
  const lines = [];
  for await (const line of s.cortex.users.export("jo")) lines.push(JSON.parse(line));
  const path = [["organization", "gdpr"]];
  expect(lines).toMatchObject([
    { kind: "user" },
    { kind: "mutable", scope: path, namespace: "sessions", key: "a" },
    { kind: "immutable", scope: path, type: "note", id: "a" },
    { kind: "claim", scope: path, name: "c" },
    { kind: "stream", scope: path, stream: "steps" },
    { kind: "change", scope: path, space: "sessions" },
    { kind: "change", scope: path, space: "note" },
  ]);
  await s.cortex.users.delete("jo", { cascade: true, verify: true });
  expect(await scope.mutable.get("sessions", "a")).toBeNull();
  expect((await scope.streams.range("steps")).entries).toEqual([]);
});

it("the audit trail names the scope of a purge", async () => {
  const scope = s.cortex.scope("organization", "audited");
  await scope.mutable.set("ns", "k", 1);
  await scope.mutable.purgeNamespace("ns");
  const { records } = await s.cortex.immutable.list({ type: "$cortex/audit", limit: 1000 });
  expect(records.map(({ data }) => data.asked)).toContainEqual({
    scope: [["organization", "audited"]],
    namespace: "ns",
  });
});

it("pages go on within the scope", async () => {
  const scope = s.cortex.scope("organization", "pages");
  for (const name of ["a", "b", "c"]) {
    await scope.streams.append(name, 1);
    await scope.claims.acquire(name, { ttlSeconds: 60 });
    await scope.mutable.set(name, "k", 1);
  }
  const first = await scope.streams.list({ limit: 2 });
  const rest = await scope.streams.list({ limit: 2, pageToken: first.nextPageToken });
  expect(rest.streams.map(({ name }) => name)).toEqual(["c"]);
  await expect(
    s.cortex.streams.list({ limit: 2, pageToken: first.nextPageToken }),
  ).rejects.toMatchObject({ code: "INVALID_PAGE_TOKEN" });
  const claims = await scope.claims.list({ limit: 2 });
  expect(
    (await scope.claims.list({ limit: 2, pageToken: claims.nextPageToken })).claims.map(
      ({ name }) => name,
    ),
  ).toEqual(["c"]);
  expect(await scope.mutable.listNamespaces({ prefix: "b" })).toMatchObject([{ namespace: "b" }]);
});

it("never purges the tenant", async () => {
  const scope = s.cortex.scope("organization", "careful");
  await scope.mutable.set("ns", "k", 1);
  for (const options of [{}, { dryRun: true }])
    await expect(scope.mutable.purgeAll(options)).rejects.toMatchObject({
      code: "INVALID_SCOPE",
      message: expect.stringContaining("Scopes.Purge"),
    });
  expect(await scope.mutable.get("ns", "k")).toBe(1);
});

it("takes its path from names, and from nothing else", async () => {
  const scope = s.cortex.scope("organization", "texts");
  const text = "\u0001hello\u0001 world of hello";
  await scope.immutable.store({ type: "note", id: "a", data: { text } });
  const [found] = await scope.immutable.search("world");
  expect(found?.record.data).toEqual({ text });
  expect(JSON.stringify(found?.highlights)).toContain("hello\\u0001 <mark>world");
});

it("a page token with control characters is refused", async () => {
  const { mutable, claims, streams } = s.cortex;
  for (const namespace of ["t1", "t2"]) await mutable.set(namespace, "k", 1);
  const { nextPageToken = "" } = await s.cortex.scopes({ limit: 1 });
  const forged = (token: string, position: string) => {
    const parts = JSON.parse(Buffer.from(token, "base64url").toString()) as string[];
    return Buffer.from(JSON.stringify([...parts.slice(0, -1), position])).toString("base64url");
  };
  for (const name of ["a", "b"]) {
    await claims.acquire(name, { ttlSeconds: 60 });
    await streams.append(name, 1);
  }
  const tokens = [
    [(pageToken: string) => s.cortex.scopes({ pageToken }), nextPageToken],
    [
      (pageToken: string) => claims.list({ pageToken }),
      (await claims.list({ limit: 1 })).nextPageToken,
    ],
    [
      (pageToken: string) => streams.list({ pageToken }),
      (await streams.list({ limit: 1 })).nextPageToken,
    ],
  ] as const;
  for (const [list, token = ""] of tokens)
    for (const position of ["\u0001\u0000\u0001a", "\u0000", "\u0001a\u0001\u0000", "\ud800"])
      await expect(list(forged(token, position))).rejects.toMatchObject({
        code: "INVALID_PAGE_TOKEN",
      });
});

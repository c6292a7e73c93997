// Tests authentication and authorization: keys and tokens, what each allows, and their replacement while
// calls go on.

import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect } from "node:http2";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CortexOptions } from "../../client/index.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { parseKeys } from "../../server/auth/keys.js";
import type { Config } from "../../server/config/config.js";
import {
  audience,
  digestOf,
  issuer,
  keyFile,
  newKey,
  replaceFile,
  type Signer,
  secretSigner,
  signer,
} from "../support/credentials.js";
import { temporaryDirectory } from "../support/directory.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";
import { Stalled } from "../support/stalled.js";

const s = serve();
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  directory = await temporaryDirectory();
});
afterAll(() => directory.remove());

/** Starts a server with these settings, and gives clients of it. */
async function guarded(settings: Partial<Config>) {
  const running = await s.another(settings);
  const client = (token: CortexOptions["token"], options: CortexOptions = {}) =>
    s.client({ address: running.address, token, ...options });
  const raw = new Raw(running.address);
  const get = (headers: Record<string, string>) =>
    raw.call(MutableStore.method.get as DescMethodUnary, { namespace: "ns", key: "k" }, headers);
  return { running, client, raw, get };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const unauthenticated = { status: status.UNAUTHENTICATED, reason: "UNAUTHENTICATED" };
const denied = { status: status.PERMISSION_DENIED, reason: "PERMISSION_DENIED" };

describe("with keys", () => {
  const keys = {
    agent: newKey(),
    reader: newKey(),
    admin: newKey(),
    limited: newKey(),
    coordinator: newKey(),
    writer: newKey(),
  };
  let path: string;
  let server: Awaited<ReturnType<typeof guarded>>;
  const content = (agentKey: string | string[] = keys.agent) =>
    keyFile([
      { principal: "agents", key: agentKey, tenants: ["acme", "globex"] },
      { principal: "reader", key: keys.reader, tenants: ["acme"], permissions: ["read"] },
      { principal: "operator", key: keys.admin, permissions: ["admin"] },
      {
        principal: "limited",
        key: keys.limited,
        permissions: ["read", "write", "purge"],
        namespaces: ["stock:", "public"],
        types: ["note"],
      },
      {
        principal: "coordinator",
        key: keys.coordinator,
        claims: ["job:"],
        channels: ["jobs:", "done"],
        streams: ["jobs:"],
      },
      { principal: "writer", key: keys.writer, permissions: ["write"] },
    ]);
  beforeAll(async () => {
    path = join(directory.path, "keys.json");
    await writeFile(path, content());
    server = await guarded({ auth: "keys", authKeysFile: path, allowPurgeAll: true });
  });

  it("a call without a key, or with one that nobody has, is UNAUTHENTICATED", async () => {
    for (const headers of [
      {},
      bearer("no-such-key"),
      bearer(digestOf(keys.agent)),
      { authorization: keys.agent },
      { authorization: "Basic dTpw" },
      { authorization: "Bearer" },
      bearer(`${keys.agent}x`),
      bearer("x".repeat(16 * 1024 + 1)),
    ] as Record<string, string>[])
      expect(await server.get({ "x-tenant-id": "acme", ...headers })).toMatchObject(
        unauthenticated,
      );
    expect(await server.get({ "x-tenant-id": "acme", ...bearer(keys.agent) })).not.toHaveProperty(
      "reason",
    );
    expect(
      await server.get({ "x-tenant-id": "acme", authorization: `bearer ${keys.agent}` }),
    ).not.toHaveProperty("reason");
    await expect(server.client(undefined).mutable.get("ns", "k")).toFailWith("UNAUTHENTICATED");
  });

  it("the tenant must be among those of the key; a call with a key of one tenant need not name it", async () => {
    for (const tenant of ["acme", "globex"])
      await server.client(keys.agent, { tenantId: tenant }).mutable.set("ns", "k", tenant);
    expect(await server.get({ "x-tenant-id": "initech", ...bearer(keys.agent) })).toMatchObject({
      ...denied,
      details: { problem: 'the tenant "initech" is out of reach', tenant: "initech" },
    });
    expect(await server.get(bearer(keys.agent))).toMatchObject(denied); // not the tenant "" either
    expect(await server.client(keys.reader).mutable.get("ns", "k")).toBe("acme");
    expect(await server.client(keys.admin).mutable.get("ns", "k")).toBeNull();
    expect(await server.client(keys.admin, { tenantId: "globex" }).mutable.get("ns", "k")).toBe(
      "globex",
    );
  });

  it("each RPC needs its permission", async () => {
    const agent = server.client(keys.agent, { tenantId: "acme" });
    const reader = server.client(keys.reader);
    const admin = server.client(keys.admin, { tenantId: "acme" });
    await agent.mutable.set("perm", "k", 1);
    for (const call of [
      () => reader.mutable.set("perm", "k", 2),
      () => reader.mutable.increment("perm", "k"),
      () => reader.mutable.transaction((tx) => tx.set("perm", "k", 2)),
      () => reader.immutable.store({ type: "t", id: "i", data: {} }),
      () => reader.users.create("u"),
    ])
      await expect(call()).toFailWith("PERMISSION_DENIED", { permission: "write" });
    for (const call of [
      () => agent.mutable.purgeNamespace("perm"),
      () => agent.mutable.purgeAll(),
      () => agent.immutable.purge("t", "i"),
    ])
      await expect(call()).toFailWith("PERMISSION_DENIED", { permission: "purge" });
    await expect(agent.users.delete("u")).toFailWith("PERMISSION_DENIED", { permission: "admin" });
    await expect(agent.users.export("u").next()).toFailWith("PERMISSION_DENIED", {
      permission: "admin",
    });
    expect(await reader.mutable.get("perm", "k")).toBe(1);
    await admin.users.create("u");
    expect(await admin.users.delete("u")).toMatchObject({ deleted: true });
    expect((await admin.mutable.purgeNamespace("perm")).deleted).toBe(1);
    const transaction = new RawTransaction(server.running.address, {
      "x-tenant-id": "acme",
      ...bearer(keys.reader),
    });
    await expect(transaction.ask({ case: "begin", value: {} })).rejects.toMatchObject(denied);
    transaction.close();
  });

  it("a key that names claims and channels reaches these, also with a pattern, and nothing else", async () => {
    const { claims, events, mutable } = server.client(keys.coordinator);
    const ttl = { ttlSeconds: 10 };
    const reached = await claims.acquire("job:1", ttl);
    expect((await claims.list({ prefix: "job:" })).claims).toHaveLength(1);
    await expect(claims.acquire("leader", ttl)).toFailWith("PERMISSION_DENIED");
    await expect(claims.list()).toFailWith("PERMISSION_DENIED");
    await expect(claims.get("jo")).toFailWith("PERMISSION_DENIED");
    const got: string[] = [];
    for (const pattern of ["jobs:*", "jobs:**", "jobs:*:x", "done", "done:**"])
      await events.subscribe(pattern, ({ type }) => got.push(`${pattern} ${type}`));
    for (const pattern of ["*", "**", "*:created", "jobs", "orders:*"])
      await expect(events.subscribe(pattern, () => {})).toFailWith("PERMISSION_DENIED");
    await expect(events.stream("**").next()).toFailWith("PERMISSION_DENIED");
    await events.publish("jobs:new", 1);
    await events.publish("done", 1, { claim: reached ?? undefined });
    await expect(events.publish("orders:new", 1)).toFailWith("PERMISSION_DENIED");
    await expect(
      events.publishMany([
        { channel: "jobs:new", data: 1 },
        { channel: "orders:new", data: 1 },
      ]),
    ).toFailWith("PERMISSION_DENIED");
    const other = await server.client(keys.admin).claims.acquire("other", ttl);
    await expect(events.publish("done", 1, { claim: other ?? undefined })).toFailWith(
      "PERMISSION_DENIED",
    );
    await mutable.transaction([{ op: "publish", channel: "done", data: 2 }]);
    await expect(
      mutable.transaction([{ op: "publish", channel: "orders:new", data: 2 }]),
    ).toFailWith("PERMISSION_DENIED");
    await expect(mutable.get("stock:x", "k")).toFailWith("PERMISSION_DENIED");
    await expect
      .poll(() => got.sort())
      .toEqual(["done done", "done done", "jobs:* jobs:new", "jobs:** jobs:new"]);
    await expect(server.client(keys.limited).events.publish("done", 1)).toFailWith(
      "PERMISSION_DENIED",
    );
    const reader = server.client(keys.reader).events;
    await expect(reader.publish("done", 1)).toFailWith("PERMISSION_DENIED");
    (await reader.subscribe("**", () => {}))();
  });

  it("a key that names streams reaches these, and nothing else", async () => {
    const { claims, mutable, streams } = server.client(keys.coordinator);
    const group = streams.group("g", "c");
    await streams.append("jobs:new", 1);
    await group.ensure("jobs:new");
    const entries = await group.read("jobs:new");
    expect(await group.ack("jobs:new", entries)).toBe(1);
    expect((await streams.list({ prefix: "jobs:" })).streams).toHaveLength(1);
    await mutable.transaction([{ op: "appendEntry", stream: "jobs:new", data: 2 }]);
    const denied = (made: Promise<unknown>) => expect(made).toFailWith("PERMISSION_DENIED");
    await denied(streams.append("orders", 1));
    await denied(streams.list());
    await denied(streams.list({ prefix: "job" }));
    await denied(streams.range("orders"));
    await denied(streams.info("orders"));
    await denied(group.read("orders"));
    await denied(group.ack("orders", ["1-0"]));
    await denied(mutable.transaction([{ op: "appendEntry", stream: "orders", data: 2 }]));
    await denied(streams.trim("jobs:new", { maxLen: 0 })); // needs `purge`
    await denied(streams.delete("jobs:new"));
    await denied(group.delete("jobs:new"));
    await denied(server.client(keys.limited).streams.append("jobs:new", 1));
    const other = await server.client(keys.admin).claims.acquire("unreached", { ttlSeconds: 10 });
    await denied(streams.append("jobs:new", 1, { claim: other ?? undefined }));
    expect(await claims.get("job:none")).toBeNull();
  });

  it("a group is read by who may read and write", async () => {
    const admin = server.client(keys.admin).streams;
    await admin.append("shared", 1);
    await admin.group("g", "c").ensure("shared");
    const denied = (made: Promise<unknown>, permission: string) =>
      expect(made).rejects.toMatchObject({ code: "PERMISSION_DENIED", details: { permission } });
    const writer = server.client(keys.writer).streams;
    await writer.append("shared", 2);
    await denied(writer.range("shared"), "read");
    await denied(writer.group("g", "c").read("shared"), "read");
    await denied(writer.group("g", "c").ack("shared", ["1-0"]), "read");
    await denied(writer.group("g", "c").takeOver("shared", { minIdleMs: 0 }), "read");
    const reader = server.client(keys.reader).streams;
    await denied(reader.append("shared", 1), "write");
    await denied(reader.group("g", "c").read("shared"), "write");
    await denied(reader.group("g", "c").nack("shared", ["1-0"]), "write");
    expect(await reader.range("shared")).toEqual({ entries: [] }); // in its own tenant
  });

  it("a key whose channels are patterns is refused", async () => {
    const file = join(directory.path, "patterns.json");
    await writeFile(file, keyFile([{ principal: "p", key: newKey(), channels: ["jobs:*"] }]));
    await expect(guarded({ auth: "keys", authKeysFile: file })).rejects.toThrow(
      /channels are prefixes, without \*: "jobs:\*"/,
    );
  });

  it("a key that names namespaces and types reaches these, and nothing else", async () => {
    const limited = server.client(keys.limited, { tenantId: "limited" });
    const admin = server.client(keys.admin, { tenantId: "limited" });
    const { mutable, immutable } = limited;
    for (const ns of ["stock:a", "private"]) await admin.mutable.set(ns, "k", 1);
    for (const type of ["note", "policy"])
      await admin.immutable.store({ type, id: "i", data: { text: "found" } });
    expect(await mutable.get("stock:a", "k")).toBe(1);
    await mutable.increment("stock:a", "k");
    await mutable.transaction((tx) => {
      tx.update<number>("stock:a", "k", (n) => n + 1);
      tx.store({ type: "note", id: "j", data: {} });
    });
    expect(await mutable.getMany("publication", ["k"])).toEqual([null]);
    expect((await immutable.list({ type: "note" })).total).toBe(2);
    expect(await immutable.search("found", { types: ["note"] })).toHaveLength(1);
    expect(await mutable.listNamespaces({ prefix: "stock:" })).toHaveLength(1);
    for (const call of [
      () => mutable.get("private", "k"),
      () => mutable.getMany("private", ["k"]),
      () => mutable.list("private"),
      () => mutable.count("private"),
      () => mutable.set("private", "k", 2),
      () => mutable.setMany("private", { k: 2 }),
      () => mutable.delete("private", "k"),
      () => mutable.purgeNamespace("private"),
      () => mutable.purgeAll(),
      () => mutable.listNamespaces(),
      () => mutable.listNamespaces({ prefix: "st" }),
      () => mutable.transaction((tx) => tx.set("private", "k", 2)),
      () =>
        mutable.transaction([
          { op: "set", namespace: "stock:a", key: "k", value: 0 },
          { op: "delete", namespace: "private", key: "k" },
        ]),
      () => mutable.transaction((tx) => tx.store({ type: "policy", id: "i", data: {} })),
      () => immutable.get("policy", "i"),
      () => immutable.store({ type: "policy", id: "i", data: {} }),
      () => immutable.getHistory("policy", "i"),
      () => immutable.list(),
      () => immutable.list({ types: ["note", "policy"] }),
      () => immutable.count(),
      () => immutable.search("found"),
      () => immutable.purgeMany({ tags: ["x"] }),
      () => immutable.verifyHistory("policy", "i"),
    ])
      await expect(call()).toFailWith("PERMISSION_DENIED");
    // The error names what is out of reach, shortened if it is long.
    for (const [call, problem] of [
      [() => mutable.get("private", "k"), 'the namespace "private" is out of reach'],
      [() => immutable.get("policy", "i"), 'the type "policy" is out of reach'],
      [() => mutable.get("p".repeat(200), "k"), `the namespace "${"p".repeat(100)}…" is out`],
    ] as const)
      await expect(call()).rejects.toThrow(problem);
    expect(await admin.mutable.get("private", "k")).toBe(1);
    expect(await admin.mutable.get("stock:a", "k")).toBe(3);
    const transaction = new RawTransaction(server.running.address, {
      "x-tenant-id": "limited",
      ...bearer(keys.limited),
    });
    await transaction.ask({ case: "begin", value: {} });
    await transaction.ask({ case: "read", value: { keys: [{ namespace: "stock:a", key: "k" }] } });
    await expect(
      transaction.ask({ case: "read", value: { keys: [{ namespace: "private", key: "k" }] } }),
    ).rejects.toMatchObject(denied);
    transaction.close();
  });

  it("write alone does not read, and a request id of Transact gives its reply only to the same principal and reach", async () => {
    const writer = newKey();
    await replaceFile(
      path,
      content().replace(
        '{"keys":[',
        `{"keys":[${JSON.stringify({ principal: "writer", sha256: digestOf(writer), tenants: ["acme"], permissions: ["write"], namespaces: ["public"] })},`,
      ),
    );
    const agent = { "x-tenant-id": "acme", ...bearer(keys.agent) };
    const theirs = { "x-tenant-id": "acme", ...bearer(writer) };
    while (
      "reason" in
      (await server.raw.call(
        MutableStore.method.set,
        { namespace: "public", key: "k", valueJson: "1" },
        theirs,
      ))
    )
      await pause(50);
    const begin = { case: "begin" as const, value: { requestId: "payroll" } };
    const owner = new RawTransaction(server.running.address, agent);
    await owner.ask(begin);
    const value = { valueJson: '"SALARY"' };
    await owner.ask({
      case: "write",
      value: { operations: [{ namespace: "hr", key: "ceo", operation: { case: "set", value } }] },
    });
    expect((await owner.ask({ case: "commit", value: { requestId: "payroll" } })).case).toBe(
      "committed",
    );
    owner.close();
    const narrow = newKey();
    await replaceFile(
      path,
      content().replace(
        '{"keys":[',
        `{"keys":[${JSON.stringify({ principal: "agents", sha256: digestOf(narrow), tenants: ["acme"], permissions: ["write"], namespaces: ["public"] })},${JSON.stringify({ principal: "writer", sha256: digestOf(writer), tenants: ["acme"], permissions: ["write"], namespaces: ["public"] })},`,
      ),
    );
    // The same principal as the owner, but with less reach.
    const same = { "x-tenant-id": "acme", ...bearer(narrow) };
    while (
      "reason" in
      (await server.raw.call(
        MutableStore.method.set,
        { namespace: "public", key: "k", valueJson: "1" },
        same,
      ))
    )
      await pause(50);
    const namesake = new RawTransaction(server.running.address, same);
    await expect(namesake.ask(begin)).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
    namesake.close();
    const open = () => new RawTransaction(server.running.address, theirs);
    const thief = open();
    await expect(thief.ask(begin)).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
    thief.close();
    for (const message of [
      { case: "read" as const, value: { keys: [{ namespace: "public", key: "k" }] } },
      { case: "list" as const, value: { namespace: "public" } },
    ]) {
      const transaction = open();
      await transaction.ask({ case: "begin", value: {} });
      await expect(transaction.ask(message)).rejects.toMatchObject(denied);
      transaction.close();
    }
    await replaceFile(path, content());
  });

  it("a call without a key is refused before anything of a message is taken in", async () => {
    const session = connect(`http://${server.running.address}`);
    session.on("error", () => {});
    const stream = session.request({
      ":method": "POST",
      ":path": `/${MutableStore.typeName}/Set`,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    const head = Buffer.from([0, 0, 0x3f, 0xff, 0xff]);
    stream.write(Buffer.concat([head, Buffer.alloc(10_000)])); // the rest is never sent
    const headers = await new Promise<Record<string, unknown>>((resolve) =>
      stream.once("response", resolve),
    );
    expect(headers).toMatchObject({ "grpc-status": `${status.UNAUTHENTICATED}` });
    session.destroy();
  });

  it("the principal is recorded with each write, and lists and counts can filter by it", async () => {
    const agent = server.client(keys.agent, { tenantId: "acme", agentId: "seven" });
    expect(await agent.mutable.set("who", "k", 1)).toMatchObject({
      principal: "agents",
      updatedBy: "seven",
    });
    expect(await agent.mutable.count("who", { principal: "agents" })).toBe(1);
    expect(await agent.mutable.count("who", { principal: "reader" })).toBe(0);
    const options = { requestId: "of-principal" };
    const stored = await agent.immutable.store({ type: "who", id: "i", data: {} }, options);
    expect(stored).toMatchObject({ principal: "agents", agentId: "seven" });
    expect(await agent.immutable.store({ type: "who", id: "i", data: {} }, options)).toEqual(
      stored,
    );
    expect(await agent.immutable.verifyHistory("who", "i")).toMatchObject({ valid: true });
    const result = await agent.mutable.transaction((tx) =>
      tx.store({ type: "who", id: "i", data: {} }),
    );
    expect(result).toBeDefined();
    expect((await agent.immutable.get("who", "i"))?.principal).toBe("agents");
    expect((await agent.immutable.list({ principal: "agents", type: "who" })).total).toBe(1);
  });

  it("health needs no key", async () => {
    const client = new Client(server.running.address, credentials.createInsecure());
    const check = healthService.Check as (typeof healthService)[string];
    const reply = await new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        check.path,
        check.requestSerialize,
        check.responseDeserialize,
        { service: "" },
        new Metadata(),
        (error, value) => (error ? reject(error) : resolve(value)),
      );
    });
    expect(reply).toMatchObject({ status: "SERVING" });
    client.close();
  });

  it("keys are replaced under load and no call fails; a removed key is refused", async () => {
    const next = newKey();
    let current = keys.agent;
    const agent = server.client(() => current, { tenantId: "acme" });
    let stop = false;
    let calls = 0;
    const load = Array.from({ length: 8 }, async (_, i) => {
      while (!stop) {
        await agent.mutable.increment("rotation", `${i}`, 1, { createIfMissing: true });
        calls++;
      }
    });
    await replaceFile(path, content([keys.agent, next]));
    const fresh = server.client(next, { tenantId: "acme" });
    while (
      !(await fresh.mutable.get("rotation", "0").then(
        () => true,
        () => false,
      ))
    )
      await pause(50);
    current = next;
    await pause(200);
    await replaceFile(path, content(next));
    while (
      (await server.get({ "x-tenant-id": "acme", ...bearer(keys.agent) })) &&
      !("reason" in (await server.get({ "x-tenant-id": "acme", ...bearer(keys.agent) })))
    )
      await pause(50);
    stop = true;
    await Promise.all(load);
    expect(calls).toBeGreaterThan(50);
    expect(await server.get({ "x-tenant-id": "acme", ...bearer(keys.agent) })).toMatchObject(
      unauthenticated,
    );
    // An invalid file changes nothing.
    await replaceFile(path, "{");
    await pause(1200);
    await fresh.mutable.get("rotation", "0");
    await replaceFile(path, content());
  });

  it("a removed key ends the streams that it opened, and its transactions do not commit", async () => {
    const leaver = newKey();
    const withLeaver = content().replace(
      '{"keys":[',
      `{"keys":[${JSON.stringify({ principal: "leaver", sha256: digestOf(leaver), tenants: ["acme"], permissions: ["read", "write"] })},`,
    );
    await replaceFile(path, withLeaver);
    const headers = { "x-tenant-id": "acme", ...bearer(leaver) };
    while ("reason" in (await server.get(headers))) await pause(50);
    const agent = server.client(keys.agent, { tenantId: "acme" });
    for (let i = 0; i < 40; i++) await agent.mutable.set("leaver", `k${i}`, "x".repeat(100_000));
    const [idle, committing] = [1, 2].map(
      () => new RawTransaction(server.running.address, headers),
    ) as [RawTransaction, RawTransaction];
    for (const transaction of [idle, committing])
      await transaction.ask({ case: "begin", value: {} });
    const set = { case: "set" as const, value: { valueJson: '"of a leaver"' } };
    await committing.ask({
      case: "write",
      value: { operations: [{ namespace: "leaver", key: "last", operation: set }] },
    });
    const list = new Stalled(server.running.address, "List", "leaver", Buffer.alloc(0), headers);
    await list.begun;
    await replaceFile(path, content());
    while (!("reason" in (await server.get(headers)))) await pause(50);
    await expect(committing.ask({ case: "commit", value: {} })).rejects.toMatchObject(
      unauthenticated,
    );
    expect(await agent.mutable.exists("leaver", "last")).toBe(false);
    await expect(idle.next()).rejects.toMatchObject(unauthenticated);
    await pause(1000); // each stream asks every five seconds: the list began a little later
    list.read();
    expect((await list.trailers)["grpc-status"]).toBe(`${status.UNAUTHENTICATED}`);
    list.close();
    for (const transaction of [idle, committing]) transaction.close();
  });

  it("a key file that is written in another order ends nothing", async () => {
    const reordered = JSON.parse(content()) as { keys: { tenants: string[] | "*" }[] };
    for (const { tenants } of reordered.keys) if (tenants !== "*") tenants.reverse();
    const headers = { "x-tenant-id": "acme", ...bearer(keys.agent) };
    const transaction = new RawTransaction(server.running.address, headers);
    await transaction.ask({ case: "begin", value: {} });
    const operation = { case: "set" as const, value: { valueJson: "1" } };
    await transaction.ask({
      case: "write",
      value: { operations: [{ namespace: "reordered", key: "k", operation }] },
    });
    await replaceFile(path, JSON.stringify(reordered));
    await pause(1500);
    expect((await transaction.ask({ case: "commit", value: {} })).case).toBe("committed");
    transaction.close();
    await replaceFile(path, content());
  });

  it("a key file is refused if its content is invalid, and the error says why", () => {
    const key = { principal: "p", sha256: "0".repeat(64), tenants: ["t"], permissions: ["read"] };
    expect(parseKeys(JSON.stringify({ keys: [key] }))).toHaveLength(1);
    for (const [file, problem] of [
      ["{", "it is not JSON"],
      ["[]", "it is not an object"],
      ["{}", 'it has no list "keys"'],
      [{ keys: [] }, "or an empty one: nobody could call"],
      [{ keys: [{ ...key, sha256: "00" }] }, "keys[0]: its sha256 is not 64 hexadecimal digits"],
      [
        { keys: [key, { ...key, permissions: ["reed"] }] },
        'keys[1]: it has no permission "reed": there are read, write, purge, admin',
      ],
      [
        { keys: [{ ...key, tenants: "acme" }] },
        'keys[0]: its tenants are not a list of texts, nor "*"',
      ],
      [{ keys: [{ ...key, tenants: ["a\nb"] }] }, "keys[0]: it names an invalid tenant id"],
      [{ keys: [{ ...key, principal: "" }] }, "its principal is not a text, is empty"],
      [
        { keys: [{ ...key, namespace: ["x"] }] },
        'keys[0] has a field "namespace", where there can be principal, sha256',
      ],
    ] as const)
      expect(() => parseKeys(typeof file === "string" ? file : JSON.stringify(file))).toThrow(
        problem,
      );
  });
});

describe("with tokens", () => {
  const secret = "a secret of more than thirty-two bytes";
  const jwt = { auth: "jwt", jwtIssuer: issuer, jwtAudience: audience, jwtSkewSeconds: 5 } as const;
  const now = () => Math.floor(Date.now() / 1000);
  const tenant = { "x-tenant-id": "acme" };

  it("that is over is replaced, where the client gets tokens from a function: subscriptions and watches go on", async () => {
    const server = await guarded({ ...jwt, jwtSecret: secret, jwtSkewSeconds: 0 });
    const { sign } = secretSigner(secret);
    let tokens = 0;
    const token = () => {
      tokens++;
      return sign({ exp: now() + 2 });
    };
    const { events, mutable } = server.client(token, { tenantId: "acme" });
    const errors: unknown[] = [];
    const got: unknown[] = [];
    let again = 0;
    await events.subscribe("c", ({ data }) => got.push(data), {
      onError: (error) => errors.push(error),
      onResubscribe: () => again++,
    });
    const watch = mutable.watch("ns", { key: "renewed" });
    const change = watch.next();
    await expect.poll(() => again, { timeout: 15_000 }).toBe(1);
    await mutable.set("ns", "renewed", 1);
    await events.publish("c", 1);
    await expect.poll(() => got).toEqual([1]);
    expect((await change).value).toMatchObject({ value: 1 });
    await watch.return(undefined);
    expect(errors).toEqual([]);
    expect(tokens).toBeGreaterThan(3);
    const fixed = server.client(await token(), { tenantId: "acme" }).events;
    const ended = new Promise((resolve) => {
      void fixed.subscribe("c", () => {}, { onError: resolve });
    });
    expect(await ended).toMatchObject({ code: "UNAUTHENTICATED" });
  }, 40_000);

  it("that is over ends a read that waits, before it is given anything; `consume` goes on with a new one", async () => {
    const server = await guarded({ ...jwt, jwtSecret: secret, jwtSkewSeconds: 0 });
    const { sign } = secretSigner(secret);
    const of = (token: CortexOptions["token"]) =>
      server.client(token, { tenantId: "acme" }).streams;
    const lasting = of(await sign());
    await lasting.group("g", "a").ensure("s");
    const first = lasting.group("g", "a").read("s", { count: 1, blockMs: 20_000 });
    await pause(200);
    const ending = of(await sign({ exp: now() + 2 })).group("g", "b");
    const second = ending.read("s", { count: 1, blockMs: 20_000 });
    const refused = expect(second).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    const seen: unknown[] = [];
    const controller = new AbortController();
    const renewing = of(() => sign({ exp: now() + 2 })).group("h", "c");
    await renewing.ensure("s");
    const { signal } = controller;
    const consuming = renewing.consume("s", ({ data }) => seen.push(data), { signal });
    await pause(3500);
    await lasting.append("s", 1);
    await lasting.append("s", 2);
    expect(await first).toHaveLength(1);
    await refused;
    expect(await lasting.group("g", "a").read("s", { blockMs: 2000 })).toMatchObject([{ data: 2 }]);
    await expect.poll(() => seen, { timeout: 15_000 }).toEqual([1, 2]);
    controller.abort();
    await consuming;
  }, 40_000);

  it("a valid one that is signed with the secret is accepted, and no other", async () => {
    const server = await guarded({ ...jwt, jwtSecret: secret });
    const { sign } = secretSigner(secret);
    const good = await sign();
    expect(await server.get({ ...tenant, ...bearer(good) })).not.toHaveProperty("reason");
    const [head, body, signature = ""] = good.split(".");
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const rs = await signer("RS256", "k");
    const expiredAt = now() - 10;
    const untrusted = "the token is not signed by a key that this server trusts";
    const algorithm = "the token is signed with an algorithm that this server does not accept";
    const malformed = "the token is not a signed JSON Web Token";
    const bad: [string, token: string, problem: string][] = [
      [
        "expired",
        await sign({ exp: expiredAt }),
        `the token expired at ${new Date(expiredAt * 1000).toISOString()}`,
      ],
      ["not yet valid", await sign({ nbf: now() + 60 }), "the token is not valid before 20"],
      [
        "for another audience",
        await sign({ aud: "another" }),
        'the token is for the audience "another", and this server is "cortex"',
      ],
      ["for no audience", await sign({ aud: undefined as never }), "the token has no claim aud"],
      [
        "from another issuer",
        await sign({ iss: "https://stranger.example" }),
        `the token is from the issuer "https://stranger.example", and this server trusts "${issuer}"`,
      ],
      ["without expiry", await sign({ exp: undefined as never }), "the token has no claim exp"],
      [
        "with an expiry that is no time",
        await sign({ exp: "soon" as never }),
        'the token has a claim exp that is not valid: "soon"',
      ],
      ["without subject", await sign({ sub: undefined as never }), "the token has no claim sub"],
      [
        "that allows nothing",
        await sign({ cortex: undefined }),
        "the token's claim cortex: it is missing",
      ],
      [
        "that has an unknown permission",
        await sign({ cortex: { tenants: "*", permissions: ["fly"] } }),
        "the token's claim cortex: ",
      ],
      [
        "whose grant has a misspelt field",
        await sign({ cortex: { tenants: "*", permissions: ["read"], Namespaces: ["a"] } }),
        'the token\'s claim cortex: it has a field "Namespaces", where there can be ',
      ],
      [
        "issued in the future",
        await sign({ iat: now() + 3600 }),
        "the token was issued in the future, at 20",
      ],
      [
        "that never expires",
        await sign({ exp: 1e300 }),
        "the token has a claim exp that is beyond the year 9999",
      ],
      ["with another secret", await secretSigner(`${secret}x`).sign(), untrusted],
      ["with alg none", `${encode({ alg: "none" })}.${body}.`, algorithm],
      [
        "with alg none and a signature",
        `${encode({ alg: "none" })}.${body}.${signature}`,
        algorithm,
      ],
      ["with another algorithm", await rs.sign(), algorithm],
      [
        "with a critical header that nobody knows",
        `${encode({ alg: "HS256", crit: ["x"], x: 1 })}.${body}.${signature}`,
        "the token has a header that this server does not support",
      ],
      [
        "whose claims were changed",
        `${head}.${encode({ sub: "root", exp: now() + 60, iss: issuer, aud: audience, cortex: { tenants: "*", permissions: ["admin"] } })}.${signature}`,
        untrusted,
      ],
      ["without a signature", `${head}.${body}.`, untrusted],
      ["garbage", "garbage", malformed],
      ["garbage in three parts", "a.b.c", malformed],
      ["oversized", await sign({ padding: "x".repeat(16 * 1024) }), "its token is longer than"],
    ];
    for (const [what, token, problem] of bad)
      expect([what, await server.get({ ...tenant, ...bearer(token) })]).toMatchObject([
        what,
        { ...unauthenticated, details: { problem: expect.stringContaining(problem) } },
      ]);
    // A token may have expired a little: the clocks may differ.
    expect(
      await server.get({ ...tenant, ...bearer(await sign({ exp: now() - 2 })) }),
    ).not.toHaveProperty("reason");
    const shortLived = await sign({ exp: now() - 3 });
    expect(await server.get({ ...tenant, ...bearer(shortLived) })).not.toHaveProperty("reason");
    await pause(3200);
    // The server has accepted this token before, and refuses it now.
    expect(await server.get({ ...tenant, ...bearer(shortLived) })).toMatchObject(unauthenticated);
    const client = server.client(
      await sign({
        sub: "jane",
        cortex: { tenants: ["acme"], permissions: ["read", "write"], namespaces: ["jane:"] },
      }),
    );
    expect(await client.mutable.set("jane:x", "k", 1)).toMatchObject({ principal: "jane" });
    await expect(client.mutable.set("john:x", "k", 1)).toFailWith("PERMISSION_DENIED");
    await expect(client.immutable.get("t", "i")).toFailWith("PERMISSION_DENIED");
  });

  it("of a key set in a file: RS256 and ES256; keys are replaced while calls go on", async () => {
    const path = join(directory.path, "jwks.json");
    const [one, two] = await Promise.all([signer("RS256", "one"), signer("ES256", "two")]);
    const set = (...signers: Signer[]) => JSON.stringify({ keys: signers.map(({ jwk }) => jwk) });
    await writeFile(path, set(one));
    const server = await guarded({ ...jwt, jwtJwksFile: path });
    expect(await server.get(bearer(await one.sign()))).not.toHaveProperty("reason");
    expect(await server.get(bearer(await two.sign()))).toMatchObject(unauthenticated);
    expect(
      await server.get(bearer(await secretSigner(JSON.stringify(one.jwk)).sign())),
    ).toMatchObject(unauthenticated);
    let current = one;
    let stop = false;
    const client = server.client(() => current.sign());
    const load = Array.from({ length: 4 }, async () => {
      while (!stop) await client.mutable.get("ns", "k");
    });
    await replaceFile(path, set(one, two));
    while ("reason" in (await server.get(bearer(await two.sign())))) await pause(50);
    current = two;
    await pause(100);
    await replaceFile(path, set(two));
    while (!("reason" in (await server.get(bearer(await one.sign()))))) await pause(50);
    stop = true;
    await Promise.all(load);
  });

  it("that names none of several keys of a set says so", async () => {
    const path = join(directory.path, "nameless.json");
    const pairs = await Promise.all([generateKeyPair("RS256"), generateKeyPair("RS256")]);
    const keys = await Promise.all(pairs.map(({ publicKey }) => exportJWK(publicKey)));
    await writeFile(path, JSON.stringify({ keys }));
    const server = await guarded({ ...jwt, jwtJwksFile: path });
    const token = new SignJWT({ iss: issuer, aud: audience, sub: "s", exp: now() + 60 });
    const signed = await token.setProtectedHeader({ alg: "RS256" }).sign(pairs[0].privateKey);
    expect(await server.get({ ...tenant, ...bearer(signed) })).toMatchObject({
      ...unauthenticated,
      details: {
        problem: "the token does not say in its header kid which of several keys signed it",
      },
    });
  });

  it("of a key set at a URL, which is loaded again for an unknown key; UNAVAILABLE while it does not answer", async () => {
    const [one, two] = await Promise.all([signer("RS256", "one"), signer("RS256", "two")]);
    let keys = [one.jwk];
    let broken = true;
    const web = createServer((_, response) => {
      if (broken) response.writeHead(500).end();
      else
        response
          .writeHead(200, { "content-type": "application/json" })
          .end(JSON.stringify({ keys }));
    });
    await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
    const { port } = web.address() as { port: number };
    const server = await guarded({ ...jwt, jwtJwksUrl: `http://127.0.0.1:${port}/jwks.json` });
    expect(await server.get(bearer(await one.sign()))).toMatchObject({
      status: status.UNAVAILABLE,
      reason: "KEYS_UNAVAILABLE",
    });
    broken = false;
    const keysBefore = keys;
    keys = "no list" as never;
    expect(await server.get(bearer(await one.sign()))).toMatchObject({
      reason: "KEYS_UNAVAILABLE",
    });
    keys = keysBefore;
    // The client retries until the keys are available.
    await server.client(await one.sign()).mutable.get("ns", "k");
    keys = [one.jwk, two.jwk];
    await server
      .client(async () => two.sign())
      .mutable.get("ns", "k")
      .catch(() => {});
    await pause(1100);
    expect(await server.get(bearer(await two.sign()))).not.toHaveProperty("reason");
    web.close();
  });
});

it("a token that cannot be had is UNAUTHENTICATED, and nothing is sent", async () => {
  const cortex = s.client({
    token: () => {
      throw new Error("the vault is closed");
    },
  });
  await expect(cortex.mutable.set("ns", "k", 1)).toFailWith("UNAUTHENTICATED");
  const silent = s.client({ token: () => new Promise<string>(() => {}), timeoutMs: 200 });
  await expect(silent.mutable.get("ns", "k")).toFailWith("DEADLINE_EXCEEDED");
  await expect(silent.mutable.get("ns", "k", { signal: AbortSignal.timeout(50) })).toFailWith(
    "CANCELLED",
  );
  await expect(s.client({ token: () => "" }).mutable.get("ns", "k")).toFailWith("UNAUTHENTICATED");
  for (const token of ["é", " x"]) expect(() => s.client({ token })).toThrow("token");
  await expect(s.client({ token: () => "a\nb" }).mutable.get("ns", "k")).toFailWith(
    "INVALID_CONFIG",
  );
});

// Checks that no RPC crosses from one scope into another. support/tenant-isolation.ts makes the calls.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { clone, create, type DescMethod, type Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { Cortex, type Surface } from "../../client/index.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { ScopeStepSchema } from "../../gen/cortex/scopes/v1/scope_pb.js";
import { Scopes } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import { composeNames } from "../../server/grpc/scope.js";
import { pathOf, type ScopeStep } from "../../server/validation/scope.js";
import { keyFile, newKey } from "../support/credentials.js";
import { temporaryDirectory } from "../support/directory.js";
import { dump } from "../support/dump.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";
import { answer, marker, methods, requestsOf, seed } from "../support/tenant-isolation.js";

const s = serve();
const home: ScopeStep[] = [
  { key: "organization", identifier: "a" },
  { key: "workspace", identifier: "b" },
];
const one = (key: string, identifier: string): ScopeStep[] => [{ key, identifier }];

/** No scope, and the one around that with the data. */
const around: ScopeStep[][] = [[], home.slice(0, 1)];
/** Scopes that look like the one with the data, or are next to it. */
const others: ScopeStep[][] = [
  ...around,
  home.slice(1),
  [...home].reverse(),
  [...home, { key: "workspace", identifier: "b" }],
  one("organization", "a:workspace:b"),
  one("organization", "a\u0002workspace\u0002b"),
  one("organization", "a\u0001"),
  one("\u0001organization", "a"),
  one("organization", "%"),
  one("organization", "*"),
  one("organization", ".."),
  one("organization", ""),
  one("", "a"),
  one("organization", " "),
  [...one("organization", "\u0430"), ...home.slice(1)], // a Cyrillic а
  one("organization", "a".repeat(1024)),
];

/** The RPCs that take a scope. */
const scoped = methods.filter(
  ({ input, methodKind }) => input.field.scope && methodKind !== "bidi_streaming",
);
const requestOf = (method: DescMethod, scope: ScopeStep[]): Message =>
  inScope(requestsOf(method)[0] as Message, scope);
const inScope = (request: Message, scope: ScopeStep[]): Message =>
  ({ ...request, scope: scope.map((step) => create(ScopeStepSchema, step)) }) as Message;
/** The request, and for what only reads also one that leaves out what it need not name. */
const requestsIn = (method: DescMethod, scope: ScopeStep[]): Message[] => {
  const request = requestOf(method, scope);
  if (method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) return [request];
  return [request, { ...request, filter: undefined, prefix: undefined } as Message];
};
/** What `seed` needs of a client, in a scope. */
const within = (cortex: Cortex, steps: ScopeStep[]): Cortex => {
  const scope = steps.reduce<Surface>(
    (outer, { key, identifier }) => outer.scope(key, identifier),
    cortex,
  );
  const { mutable, immutable, claims, events, streams } = scope;
  return { mutable, immutable, claims, events, streams, users: cortex.users } as Cortex;
};

describe("what is in a scope", () => {
  it("is out of reach of every RPC in another scope, or in none", async () => {
    const raw = new Raw(s.address);
    expect(scoped.length).toBeGreaterThan(50);
    const [lonely, owner] = [s.client({ tenantId: "lonely" }), s.client({ tenantId: "owner" })];
    await lonely.users.upsert("user-1", { marker });
    await seed(within(owner, home));
    const path = pathOf(home);
    const rows = async () => (await dump(s.sql)).split("\n").filter((line) => line.includes(path));
    const before = await rows();
    expect(before.length).toBeGreaterThan(8);
    for (const scope of others)
      for (const method of scoped) {
        if (method.parent === Scopes && around.includes(scope)) continue; // it is to reach what is below
        const name = [method.parent.typeName, method.name, JSON.stringify(scope).slice(0, 100)];
        for (const request of requestsIn(method, scope)) {
          const ask = (tenant: string) => answer(raw, method, request, tenant);
          const [reply, expected] = await Promise.all([ask("owner"), ask("lonely")]);
          expect([...name, reply]).toEqual([...name, expected]);
          expect(JSON.stringify(reply)).not.toContain(marker);
        }
      }
    expect(await rows()).toEqual(before);
    // In the scope itself the data is found, so the check above would notice a leak.
    const seen: string[] = [];
    for (const method of scoped) {
      const reply = JSON.stringify(await answer(raw, method, requestOf(method, home), "owner"));
      if (reply.includes(marker)) seen.push(method.name);
      expect(reply).not.toMatch(/\\u000[12]/); // no name shows its path
    }
    expect(seen.length).toBeGreaterThan(8);
    raw.close();
  }, 120_000);

  it("is not reached by a name that has the path of a scope in it", async () => {
    const raw = new Raw(s.address);
    const cortex = s.client({ tenantId: "named" });
    await seed(within(cortex, home));
    for (const method of scoped) {
      const forged = clone(method.input, { ...requestOf(method, []) } as never);
      const plain = JSON.stringify(forged, text);
      composeNames(method.input, forged, pathOf(home));
      if (JSON.stringify(forged, text) === plain) continue; // it names nothing
      const reply = await answer(raw, method, forged, "named");
      expect([method.name, reply]).toMatchObject([
        method.name,
        {
          reason: expect.stringMatching(/^INVALID_/),
          message: expect.stringMatching(/control character/),
        },
      ]);
    }
    raw.close();
  });

  it("is not reached by a transaction in another scope", async () => {
    const cortex = s.client({ tenantId: "transacting" });
    await within(cortex, home).mutable.set("ns", "k", marker);
    const read = async (scope: ScopeStep[], namespace = "ns") => {
      const transaction = new RawTransaction(s.address, { "x-tenant-id": "transacting" });
      try {
        await transaction.ask({ case: "begin", value: { scope } });
        return await transaction.ask({ case: "read", value: { keys: [{ namespace, key: "k" }] } });
      } finally {
        transaction.close();
      }
    };
    const shown = async (...given: Parameters<typeof read>) =>
      JSON.stringify(await read(...given).catch((error) => error), text);
    expect(await shown(home)).toContain(marker);
    for (const scope of others) expect(await shown(scope)).not.toContain(marker);
    expect(await shown([], `${pathOf(home)}ns`)).toContain("INVALID_NAMESPACE");
  });
});

const text = (_: string, value: unknown) => (typeof value === "bigint" ? `${value}` : value);

describe("credentials with scopes", () => {
  it("reach what is in these, and below, and nothing else", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory.path, "keys.json");
    const [limited, admin] = [newKey(), newKey()];
    await writeFile(
      path,
      keyFile([
        {
          principal: "limited",
          key: limited,
          tenants: ["acme"],
          permissions: ["read", "write", "purge"],
          scopes: [[["organization", "a"]]],
        },
        { principal: "admin", key: admin, permissions: ["admin"] },
      ]),
    );
    const { address } = await s.another({ auth: "keys", authKeysFile: path });
    const client = (token: string) => new Cortex({ address, token, tenantId: "acme" });
    const [agent, operator] = [client(limited), client(admin)];
    await operator.mutable.set("ns", "k", "of none");
    await operator.scope("organization", "b").mutable.set("ns", "k", "of b");
    const own = agent.scope("organization", "a");
    await own.mutable.set("ns", "k", 1);
    await own
      .scope("workspace", "w")
      .mutable.transaction((tx) => tx.set("ns", "k", tx.get("ns", "k")));
    await own.mutable.transaction(async (tx) => {
      await tx.list("ns");
      tx.set("ns", "k", 2);
    });
    expect(await own.mutable.get("ns", "k")).toBe(2);
    const denied = (made: Promise<unknown>) => expect(made).toFailWith("PERMISSION_DENIED");
    await denied(agent.mutable.get("ns", "k"));
    await denied(agent.scope("organization", "b").mutable.get("ns", "k"));
    await denied(agent.scope("organization", "ab").mutable.get("ns", "k"));
    await denied(agent.scope("workspace", "w").mutable.get("ns", "k"));
    await denied(agent.scope("organization", "b").mutable.transaction((tx) => tx.list("ns")));
    await denied(agent.users.get("u"));
    await denied(agent.events.subscribe("**", () => {}));
    const raw = new Raw(address);
    for (const method of methods) {
      if (method.methodKind === "bidi_streaming") continue;
      const headers = { authorization: `Bearer ${limited}` };
      const request = requestsOf(method)[0] as Message;
      const reply = await answer(raw, method, request, "acme", headers);
      expect([method.name, reply]).toMatchObject([method.name, { reason: "PERMISSION_DENIED" }]);
    }
    raw.close();
    for (const one of [agent, operator]) await one.close();
    await directory.remove();
  });

  it("that are no paths refuse the key", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory.path, "keys.json");
    for (const scopes of [
      ["organization"],
      [[]],
      [[["organization"]]],
      [[["organization", ""]]],
      "a",
    ]) {
      await writeFile(path, keyFile([{ principal: "p", key: newKey(), scopes: scopes as never }]));
      await expect(s.another({ auth: "keys", authKeysFile: path })).rejects.toThrow(/scopes/);
    }
    await directory.remove();
  });
});

it("a reply says what is wrong with a scope", async () => {
  const raw = new Raw(s.address);
  const get = (scope: ScopeStep[]) =>
    raw.call(MutableStore.method.get, { namespace: "ns", key: "k", scope });
  expect(await get(one("organization", ""))).toMatchObject({
    reason: "INVALID_SCOPE",
    details: { field: "scope[0].identifier", problem: "is empty" },
  });
  expect(await get([...home, ...one("x", "\n")])).toMatchObject({
    details: { field: "scope[2].identifier", problem: "holds a control character" },
  });
  expect(await get(one("organization", "a".repeat(497)))).not.toHaveProperty("reason");
  expect(await get(one("organization", "a".repeat(498)))).toMatchObject({
    details: { field: "scope", problem: "is too long", limit: "512 bytes of UTF-8", got: "513" },
  });
  expect(
    await raw.call(MutableStore.method.get, { namespace: "", key: "k", scope: home }),
  ).toMatchObject({
    reason: "INVALID_NAMESPACE",
    details: { problem: "is empty" },
  });
  raw.close();
});

it("calls with a scope that is refused count for the rate", async () => {
  const { address } = await s.another({ ratePerSecond: 5, rateBurst: 5 });
  const raw = new Raw(address);
  const replies = await Promise.all(
    Array.from({ length: 50 }, () =>
      raw.call(MutableStore.method.get, { namespace: "ns", key: "k", scope: one("", "") }),
    ),
  );
  const reasons = replies.map((reply) => (reply as { reason?: string }).reason);
  expect(reasons.filter((reason) => reason === "RATE_LIMITED").length).toBeGreaterThan(30);
  raw.close();
});

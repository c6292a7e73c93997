import { expect, it } from "vitest";
import { Scopes } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();

it("gives what is stored in a scope and below it, and nothing else", async () => {
  const org = s.cortex.scope("organization", "a");
  const team = org.scope("workspace", "w");
  const written = [
    s.cortex,
    s.cortex.scope("organization", "ab"),
    s.cortex.scope("organization", "a:workspace:w"),
    org,
    team,
  ];
  await s.cortex.users.upsert("jo", {});
  for (const one of written) {
    await one.mutable.set("ns", "k", { n: 1 }, { userId: "jo" });
    for (const n of [1, 2]) await one.immutable.store({ type: "note", id: "a", data: { n } });
    await one.claims.acquire("leader", { ttlSeconds: 60, value: { why: "test" } });
    for (const name of ["jobs", "logs"])
      for (let n = 0; n < 120; n++) await one.streams.append(name, n);
  }
  const lines: { kind: string; scope: unknown; data?: unknown }[] = [];
  for await (const line of org.export()) lines.push(JSON.parse(line));
  const inOrg = [["organization", "a"]];
  const inTeam = [...inOrg, ["workspace", "w"]];
  for (const scope of [inOrg, inTeam]) {
    const own = lines.filter((line) => JSON.stringify(line.scope) === JSON.stringify(scope));
    expect(own.filter(({ kind }) => kind !== "stream")).toMatchObject([
      { kind: "mutable", namespace: "ns", key: "k", value: { n: 1 }, userId: "jo" },
      { kind: "immutable", type: "note", id: "a", version: 1, data: { n: 1 }, userId: null },
      { kind: "immutable", type: "note", id: "a", version: 2, data: { n: 2 } },
      { kind: "claim", name: "leader", value: { why: "test" } },
    ]);
    for (const stream of ["jobs", "logs"])
      expect(
        own
          .filter((line) => (line as { stream?: string }).stream === stream)
          .map(({ data }) => data),
      ).toEqual(Array.from({ length: 120 }, (_, n) => n));
  }
  expect(lines).toHaveLength(2 * (4 + 240));
});

it("of an empty scope is empty", async () => {
  const lines = [];
  for await (const line of s.cortex.scope("organization", "empty").export()) lines.push(line);
  expect(lines).toEqual([]);
});

it("needs a scope", async () => {
  const raw = new Raw(s.address);
  expect(await raw.collect(Scopes.method.export, Buffer.alloc(0), {}, 5000)).toMatchObject({
    reason: "INVALID_SCOPE",
    details: { field: "scope", problem: "is missing" },
  });
  raw.close();
});

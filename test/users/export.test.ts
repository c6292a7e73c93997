import { fromBinary } from "@bufbuild/protobuf";
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { type ExportResponse, Users } from "../../gen/cortex/users/v1/users_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();

async function exported(id: string) {
  const lines = [];
  for await (const line of s.cortex.users.export(id)) {
    expect(line).not.toMatch(/[\r\n]/);
    lines.push(JSON.parse(line));
  }
  return lines;
}

it("gives the user, each entry and each version that is kept, and nothing of others, to the letter", async () => {
  const { users, mutable, immutable } = s.client({ agentId: "collector" });
  for (const id of ["jo", "sam"]) await users.create(id, { name: id });
  await mutable.set(
    "sessions",
    "b",
    { n: 1 },
    { userId: "jo", metadata: { m: 1 }, ttlSeconds: 3600 },
  );
  await mutable.set("sessions", "c", 1, { userId: "sam" });
  await mutable.set("sessions", "d", 1);
  await mutable.get("sessions", "b");
  await mutable.getRecord("sessions", "b"); // makes the server write the counted access
  const raw = new Raw(s.address);
  const valueJson = '[ 1e2,\n\t"\\u0000" ]';
  await raw.call(MutableStore.method.set, {
    namespace: "sessions",
    key: "a",
    valueJson,
    userId: "jo",
  });
  raw.close();
  for (const n of [1, 2])
    await immutable.store({ type: "note", id: "i", data: { n }, userId: "jo", metadata: { m: n } });
  await immutable.store({ type: "note", id: "i", data: { n: 3 }, userId: "sam" });
  const { streams } = s.client({ agentId: "collector" });
  await streams.append("steps", { n: 1 }, { userId: "jo", id: "5-0" });
  await streams.append("steps", { n: 2 }, { userId: "sam" });
  await streams.append("steps", { n: 3 }, { userId: "jo", id: "9007199254740991-10" });
  await streams.append("gone", { n: 4 }, { userId: "jo" });
  await streams.delete("gone");
  const times = {
    createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
    updatedAt: expect.stringMatching(/Z$/),
  };
  expect(await exported("jo")).toEqual([
    { kind: "user", id: "jo", profile: { name: "jo" }, ...times },
    {
      kind: "mutable",
      scope: null,
      userId: "jo",
      namespace: "sessions",
      key: "a",
      value: [100, "\0"],
      metadata: {},
      ...times,
      expiresAt: null,
      accessCount: 0,
      lastAccessed: null,
      updatedBy: null,
      principal: null,
    },
    {
      kind: "mutable",
      scope: null,
      userId: "jo",
      namespace: "sessions",
      key: "b",
      value: { n: 1 },
      metadata: { m: 1 },
      ...times,
      expiresAt: expect.stringMatching(/Z$/),
      accessCount: 1,
      lastAccessed: expect.stringMatching(/Z$/),
      updatedBy: "collector",
      principal: null,
    },
    ...[1, 2].map((n) => ({
      kind: "immutable",
      scope: null,
      userId: "jo",
      type: "note",
      id: "i",
      version: n,
      data: { n },
      metadata: { m: n },
      createdAt: times.createdAt,
      agentId: "collector",
      principal: null,
    })),
    {
      kind: "stream",
      scope: null,
      userId: "jo",
      stream: "steps",
      id: "5-0",
      data: { n: 1 },
      agentId: "collector",
    },
    {
      kind: "stream",
      scope: null,
      userId: "jo",
      stream: "steps",
      id: "9007199254740991-10",
      data: { n: 3 },
      agentId: "collector",
    },
    ...[
      ["mutable", "sessions", "b", "1", { n: 1 }, "collector"],
      ["mutable", "sessions", "a", "4", [100, "\0"], null],
      ["immutable", "note", "i", "1", { n: 1 }, "collector"],
      ["immutable", "note", "i", "2", { n: 2 }, "collector"],
    ].map(([store, space, name, revision, value, agentId]) => ({
      ...{ kind: "change", scope: null, change: "set", store, space, name, value, agentId },
      revision: store === "mutable" ? expect.any(String) : revision,
      at: expect.stringMatching(/Z$/),
    })),
  ]);
  const all: string[] = [];
  for await (const line of users.export("jo")) all.push(line);
  expect(all[1]).toContain('[ 1e2, \t"\\u0000" ]');
});

it("sends messages that every client takes, however much there is", async () => {
  await s.cortex.users.create("much");
  const metadata = { text: "x".repeat(60_000) };
  const many = (n: number, value: string) =>
    Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i + 100}`, value]));
  const entries = (values: Record<string, string>) =>
    Object.entries(values).map(([key, value]) => ({ key, value, userId: "much", metadata }));
  await s.cortex.mutable.setMany("large", entries(many(30, "y".repeat(50_000))));
  await s.cortex.mutable.setMany(
    "small",
    Object.entries(many(250, "z")).map(([key, value]) => ({ key, value, userId: "much" })),
  );
  const raw = new Raw(s.address);
  const { output } = Users.method.export;
  const stream = raw.client.makeServerStreamRequest(
    `/${Users.typeName}/Export`,
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
    Buffer.concat([Buffer.from([0x0a, 4]), Buffer.from("much")]),
    new Metadata(),
  );
  const sizes: number[] = [];
  let lines = 0;
  await new Promise<void>((resolve, reject) =>
    stream
      .on("data", (bytes: Buffer) => {
        sizes.push(bytes.length);
        lines += (fromBinary(output, bytes) as ExportResponse).lines.length;
      })
      .on("error", (error: ServiceError) => reject(error))
      .on("end", resolve),
  );
  expect(lines).toBe(1 + 2 * (30 + 250));
  expect(Math.max(...sizes)).toBeLessThan(2 * 1024 * 1024);
  raw.close();
});

it("an export of an unknown user fails with USER_NOT_FOUND", async () => {
  await expect(s.cortex.users.export("nobody").next()).toFailWith("USER_NOT_FOUND", {
    user_id: "nobody",
  });
  await expect(s.cortex.users.export("").next()).toFailWith("INVALID_USER_ID");
});

import { createHash } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import type { ImmutableVersion } from "../../client/index.js";
import { serve } from "../support/server.js";

const s = serve();
const verify = () => s.cortex.immutable.verifyHistory("t", "a");

beforeEach(async () => {
  await s.sql`delete from immutable`;
  await s.cortex.users.upsert("u");
  const agent = s.client({ agentId: "agent" });
  for (let n = 1; n <= 5; n++)
    await agent.immutable.store({
      type: "t",
      id: "a",
      data: { n, text: 'a "quoted" \u2028 é\n' },
      userId: "u",
      metadata: { n },
    });
});

it("finds no problem in stored versions, and says which ones it checked", async () => {
  const { digest } = (await s.cortex.immutable.getVersion("t", "a", 5)) as ImmutableVersion;
  const whole = {
    valid: true,
    versions: 5,
    firstVersion: 1,
    currentVersion: 5,
    digest,
    problems: [],
    erased: 0,
  };
  expect(await verify()).toEqual(whole);
  await s.cortex.immutable.purgeVersions("t", "a", { keepLatest: 2 });
  expect(await verify()).toEqual({ ...whole, versions: 2, firstVersion: 4 });
  expect(await s.cortex.immutable.verifyHistory("t", "none")).toEqual({
    ...whole,
    versions: 0,
    firstVersion: 0,
    currentVersion: 0,
    digest: "",
  });
});

it("checks digests that anybody can compute from the versions: docs/history.md", async () => {
  let previous = Buffer.alloc(0);
  for (const v of await s.cortex.immutable.getHistory("t", "a")) {
    const content = [
      "",
      "t",
      "a",
      `${v.version}`,
      `${v.createdAt.getTime()}`,
      JSON.stringify(v.data),
      JSON.stringify(v.metadata),
      v.userId ?? null,
      v.agentId ?? null,
      v.principal ?? null,
      v.requestId ?? null,
      v.salt,
    ];
    previous = createHash("sha256").update(previous).update(JSON.stringify(content)).digest();
    expect(v.digest).toBe(previous.toString("hex"));
  }
});

describe("finds what was changed behind the server's back:", () => {
  const at3 = (change: string) =>
    s.sql.unsafe(`update immutable_version set ${change} where id = 'a' and version = 3`);
  it.each([
    ["the data", `data = '{"n":99}'`],
    ["the spelling of the data", `data = (data::text || ' ')::json`],
    ["the metadata", `metadata = '{"n":99}'`],
    ["the time", `created_at = created_at + interval '1 ms' - interval '5 s'`],
    ["the user", `user_id = null`],
    ["the agent", `agent_id = 'other'`],
    ["the principal", `principal = 'other'`],
    ["the request", `request_id = null`],
    ["the salt", `salt = ''`],
  ])("%s of a version", async (_, change) => {
    await at3(change);
    expect(await verify()).toMatchObject({
      valid: false,
      problems: [{ version: 3, kind: "altered" }],
    });
  });

  it("a version changed together with its digest: the next one no longer follows from it", async () => {
    await s.sql`
      update immutable_version v set data = '{}', digest = version_digest(previous_digest, array[tenant, type, id, version::text,
        (extract(epoch from created_at) * 1000)::bigint::text, '{}', metadata::text, user_id, agent_id, principal, request_id, salt])
      where version = 3`;
    expect((await verify()).problems).toEqual([{ version: 4, kind: "unlinked" }]);
  });

  it("a digest", async () => {
    await at3("digest = sha256('x')");
    expect((await verify()).problems).toEqual([
      { version: 3, kind: "altered" },
      { version: 4, kind: "unlinked" },
    ]);
  });

  it("versions that are gone", async () => {
    await s.sql`delete from immutable_version where version in (2, 3)`;
    expect((await verify()).problems).toEqual([
      { version: 2, kind: "missing" },
      { version: 3, kind: "missing" },
    ]);
  });

  it("a current version that is gone, and a version that the record does not know", async () => {
    await s.sql`delete from immutable_version where version = 5`;
    expect((await verify()).problems).toEqual([{ version: 5, kind: "missing" }]);
    await s.sql`update immutable set version = 3`;
    expect((await verify()).problems).toEqual(
      expect.arrayContaining([{ version: 4, kind: "unknown" }]),
    );
  });

  it("a first version that names a digest before it", async () => {
    await s.sql`
      update immutable_version set previous_digest = 'x', digest = version_digest('x', array[tenant, type, id, version::text,
        (extract(epoch from created_at) * 1000)::bigint::text, data::text, metadata::text, user_id, agent_id, principal, request_id, salt])
      where version = 1`;
    expect((await verify()).problems).toEqual([
      { version: 1, kind: "unlinked" },
      { version: 2, kind: "unlinked" },
    ]);
  });

  it("the time of the first version in the record", async () => {
    await s.sql`update immutable set first_created_at = first_created_at - interval '1 day'`;
    expect((await verify()).problems).toEqual([{ version: 1, kind: "altered" }]);
  });

  it("content that was removed, but not by an erasure", async () => {
    await at3("data = null");
    expect((await verify()).problems).toEqual([{ version: 3, kind: "altered" }]);
  });

  it("a record that differs from its current version", async () => {
    await s.sql`update immutable set metadata = '{}'`;
    expect((await verify()).problems).toEqual([{ version: 5, kind: "altered" }]);
  });

  it("at most the first 100", async () => {
    await s.sql`update immutable set version = 500`;
    const { problems } = await verify();
    expect(problems).toHaveLength(100);
  });
});

it("takes a version without content and salt for erased, and the history is still valid", async () => {
  await s.sql`update immutable_version set data = null, metadata = '{}', user_id = null, agent_id = null, request_id = null, salt = '' where version = 3`;
  expect(await verify()).toMatchObject({ valid: true, versions: 5, erased: 1 });
  expect(await s.cortex.immutable.getVersion("t", "a", 3)).toBeNull();
  expect((await s.cortex.immutable.getHistory("t", "a")).map(({ version }) => version)).toEqual([
    1, 2, 4, 5,
  ]);
  const versions = await s.sql`select version, created_at from immutable_version order by version`;
  expect(await s.cortex.immutable.getAtTimestamp("t", "a", versions[2]?.created_at)).toBeNull();
  expect(
    (await s.cortex.immutable.getAtTimestamp("t", "a", versions[3]?.created_at))?.version,
  ).toBe(4);
});

it("refuses bad names", async () => {
  await expect(s.cortex.immutable.verifyHistory("", "a")).toFailWith("INVALID_TYPE");
});

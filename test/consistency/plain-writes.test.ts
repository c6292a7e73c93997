// The statement of plain writes does what the general statement does: random batches go to both, each on entries of its own,
// and what they answer and store is compared.
import fc from "fast-check";
import { beforeAll, expect, it } from "vitest";
import { connect, type Run, type Sql, tenantViews } from "../../server/postgres/connection.js";
import { batchParameters } from "../../server/postgres/pools.js";
import { scopeText } from "../../server/postgres/tenant-connection.js";
import type { AtomicWrite } from "../../server/storage/entries/atomic-write.js";
import { entryName } from "../../server/storage/entries/entry.js";
import type { Operation } from "../../server/storage/entries/operation.js";
import { arePlain } from "../../server/storage/entries/plain.js";
import { entryWrites } from "../../server/storage/entries/write.js";
import { idempotencyKey } from "../../server/storage/idempotency.js";
import { keepExpired } from "../support/keep-expired.js";
import { serve } from "../support/server.js";

type Made<A> = A extends fc.Arbitrary<infer Value> ? Value : never;

const s = serve();
keepExpired(s);
let sql: Sql;
const run: Run = (build) => build(sql) as never;

beforeAll(async () => {
  sql = connect(s.databaseUrl, { max: 1, connection: { ...batchParameters, ...tenantViews } });
  await sql`select set_config('cortex.tenants', ${scopeText([""])}, false)`;
  await sql`insert into users (tenant, id, created_at, updated_at) values ('', 'ann', now(), now()), ('', 'bob', now(), now())`;
  await s.sql`select setval('revision', 100000)`;
  return () => sql.end();
});

const values = ["1", "0.5", "null", "[1]", '{"a":1}', '"text"', "12345678901234567890", '"é"'];
const user = fc.constantFrom(undefined, undefined, null, "ann", "bob", "nobody");
const metadata = fc.constantFrom(undefined, undefined, null, "{}", '{"tags":["x"]}');

/** An operation of which `revision` says what it expects: the right one, a wrong one, or none. */
const operation = fc.record({
  kind: fc.constantFrom("set" as const, "set" as const, "replace" as const, "add" as const),
  argument: fc.constantFrom(...values),
  amount: fc.constantFrom("1", "-0.5", "1e3", "9007199254740993"),
  userId: user,
  metadata,
  ttlSeconds: fc.constantFrom(undefined, undefined, 100, 1e9),
  expects: fc.constantFrom(undefined, undefined, "present" as const, "absent" as const),
  revision: fc.constantFrom(undefined, undefined, "right", "wrong"),
});
const write = fc.record({
  operations: fc.array(operation, { minLength: 1, maxLength: 3 }),
  agent: fc.constantFrom(undefined, "agent-1"),
  requestId: fc.constantFrom(undefined, undefined, "r1", "r2"),
  isCommit: fc.boolean(),
});
const row = fc.record({
  value: fc.constantFrom(...values),
  userId: fc.constantFrom(null, "ann"),
  metadata: fc.constantFrom("{}", '{"old":true}'),
  expires: fc.constantFrom("never", "in the past", "in the future"),
  accesses: fc.nat(3),
});
const keys = Array.from({ length: 12 }, (_, i) => `k${i}`);

async function store(namespace: string, rows: Made<typeof row>[]): Promise<void> {
  await s.sql`delete from mutable`;
  await s.sql`delete from request`;
  for (const [i, { value, userId, metadata, expires, accesses }] of rows.entries()) {
    const days = { never: null, "in the past": -1, "in the future": 1 }[expires];
    await s.sql`
      insert into mutable (tenant, namespace, key, value, user_id, metadata, created_at, updated_at, expire_at, revision, created_revision)
      values ('', ${namespace}, ${keys[i] as string}, ${value}::text::json, ${userId}, ${metadata}::text::json, '2020-01-01', '2021-01-01',
        now() + ${days}::int * interval '1 day', ${i + 1}, ${i + 1})`;
    if (accesses > 0)
      await s.sql`insert into mutable_access values ('', ${namespace}, ${keys[i] as string}, ${i + 1}, ${accesses}, '2022-01-01')`;
  }
}

function writesOf(namespace: string, given: Made<typeof write>[]): AtomicWrite[] {
  let next = 0;
  return given.map(({ operations: parts, agent, requestId, isCommit }): AtomicWrite => {
    const operations = parts.map((part): Operation => {
      const at = next++ % keys.length;
      const { kind, argument, amount, userId, metadata, ttlSeconds, expects, revision } = part;
      return {
        tenant: "",
        namespace,
        key: keys[at] as string,
        kind,
        argument: kind === "add" ? amount : argument,
        ...(kind === "set" && { userId, metadata, ttlSeconds }),
        expects: revision ? undefined : expects,
        ifRevision: revision && `${revision === "right" ? at + 1 : 99}`,
      };
    });
    const key = idempotencyKey(
      requestId,
      "Test",
      operations.map(({ namespace: _, ...rest }) => rest),
    );
    return {
      tenant: "",
      agent,
      principal: undefined,
      operations,
      idempotencyKey: key,
      guard: undefined,
      preconditions: isCommit || operations.length > 1 ? 0 : undefined,
      valueBytesMax: 30,
      replyBytesMax: 600,
      contentMax: 16,
      keys: operations.map(entryName),
      conflictKeys: [],
      weight: 1,
      adds: { keys: 0, bytes: 0, versions: 0, pending: 0 },
    };
  });
}

const time = (value: unknown): string =>
  value instanceof Date
    ? value.getFullYear() < 2024
      ? value.toISOString()
      : "lately"
    : `${value}`;
/** Of the rows that were there, revisions are small. */
const revision = (value: unknown): string => (Number(value) < 100 ? `${value}` : "new");

/** A stored reply without its names, times and revisions. */
const cells = (reply: string) =>
  (JSON.parse(reply) as unknown[][]).map((one) =>
    one.map((cell, i) => {
      if (i === 0) return "";
      if (i === 11) return revision(cell);
      return [4, 8, 9, 10].includes(i) && Number(cell) > 1.7e12 ? "lately" : cell;
    }),
  );

/** What was answered and stored, without what differs from run to run. */
async function seen(outcomes: object[]): Promise<unknown> {
  const plain = (name: string, value: unknown): unknown => {
    if (name === "kept") return undefined;
    if (name === "reply" && typeof value === "string") return cells(value);
    if (value instanceof Date || /(_at|^at|Until)$/.test(name)) return time(value);
    if (/revision$/i.test(name)) return revision(value);
    if (name === "namespace") return "";
    if (name === "problem") return `${value}`.replace(/\d{6,}/g, "new");
    if (name === "error_id" || name === "stack") return undefined;
    if (Array.isArray(value)) return value.map((one) => plain("", one));
    if (value instanceof Error)
      return {
        ...(plain("", { ...value }) as object),
        text: value.message.replace(/\d{6,}/g, "new"),
      };
    if (typeof value === "object" && value !== null)
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(key, one)]));
    return value;
  };
  const rows = await s.sql`
    select key, value::text, user_id, metadata::text, created_at, updated_at, expire_at, revision, created_revision, agent_id from mutable order by key`;
  const replies = await s.sql`
    select id, reply::text as reply, user_ids, fingerprint from request order by id`;
  return plain("", {
    outcomes,
    rows: rows.map((one) => ({ ...one })),
    replies: replies.map(({ id, reply, user_ids, fingerprint }) => ({
      id,
      user_ids,
      fingerprint,
      reply,
    })),
  });
}

it("the statement of plain writes and the general one give and store the same", async () => {
  let plainBatches = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(row, { maxLength: 8 }),
      fc.array(write, { minLength: 1, maxLength: 4 }),
      async (rows, given) => {
        const plain = writesOf("ns", given);
        const isPlain = arePlain(plain);
        const ids = plain.flatMap(({ idempotencyKey }) => idempotencyKey?.id ?? []);
        if (!isPlain || new Set(ids).size < ids.length) return; // no batch has a request id twice
        plainBatches++;
        await store("ns", rows);
        const once = await entryWrites.run(run, plain);
        const again = await entryWrites.run(run, writesOf("ns", given));
        const byPlain = await seen([once, again]);
        await store("ns", rows);
        const general = [
          await entryWrites.runAlone(run, plain, "try"),
          await entryWrites.runAlone(run, writesOf("ns", given), "try"),
        ];
        expect(byPlain).toEqual(await seen(general));
      },
    ),
    { numRuns: Number(process.env.CORTEX_RUNS ?? 150) },
  );
  expect(plainBatches).toBeGreaterThan(50);
}, 120_000);

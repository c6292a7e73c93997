// Checks that the statements of claims, watches, events and streams find their rows by an index in large tables.
import { beforeAll, describe, expect, it } from "vitest";
import { Claims } from "../../gen/cortex/claims/v1/claims_pb.js";
import { Events } from "../../gen/cortex/events/v1/events_pb.js";
import { Scopes } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import { Streams } from "../../gen/cortex/streams/v1/streams_pb.js";
import { claims } from "../../server/claims/service.js";
import { events } from "../../server/events/service.js";
import { readPage } from "../../server/feed/log.js";
import { parseSnapshot, type Snapshot } from "../../server/feed/snapshot.js";
import { connect, type Run } from "../../server/postgres/connection.js";
import { scopes } from "../../server/scopes/service.js";
import { sweepClaims } from "../../server/storage/claims/sweep.js";
import { entries, claims as exportedClaims, versions } from "../../server/storage/export.js";
import { isIn, rangeOf } from "../../server/storage/name-range.js";
import { countScope, removeScope } from "../../server/storage/scopes/remove.js";
import { readyStreams } from "../../server/storage/streams/read.js";
import { removeStreams } from "../../server/storage/streams/remove.js";
import { sweepStreams } from "../../server/storage/streams/sweep.js";
import { erase } from "../../server/storage/users/erase.js";
import { streams } from "../../server/streams/service.js";
import { pathOf } from "../../server/validation/scope.js";
import { explainer, type Plan } from "../support/plans.js";
import { serve } from "../support/server.js";

const s = serve();
const { housekeeping, rpc } = explainer(s);
const at = "clock_timestamp()";
let now: Snapshot;

beforeAll(async () => {
  await s.sql`
    insert into users (tenant, id, profile, created_at, updated_at)
    select '', 'u' || i, '{}', now(), now() from generate_series(1, 5000) i`;
  await s.sql`
    insert into request (tenant, id, fingerprint, reply, user_ids, bytes)
    select '', 'r' || i, 'f', '{}', '{}', 2 from generate_series(1, 10000) i`;
  await s.sql.unsafe(`
    insert into claim (tenant, name, owner, user_id, fence, acquired_at, expires_at)
    select '', 'claim-' || i, 'o', case when i % 1000 = 0 then 'u1' end, nextval('revision'), ${at}, ${at} + interval '1 hour'
    from generate_series(1, 20000) i`);
  await s.sql.unsafe(`
    insert into claim_waiter (tenant, name, id, seen_at)
    select '', 'claim-' || i % 5000, 'w' || i, ${at} + interval '1 hour' from generate_series(1, 20000) i`);
  for (const [slot, store] of [
    [0, "entry"],
    [8, "event"],
  ])
    await s.sql.unsafe(`
      insert into change (slot, tenant, store, space, name, kind, is_new, value, bytes, revision, user_id, at)
      select ${slot}, '', '${store}', 'ns', 'key-' || i, 'set', true, '1', 1, i, case when i % 1000 = 0 then 'u1' end, ${at}
      from generate_series(1, 30000) i`);
  await s.sql`insert into stream (tenant, name, last_ms, entries) select '', 'stream-' || i, 30000, 10 from generate_series(1, 5000) i`;
  await s.sql`
    insert into stream_entry (tenant, stream_id, ms, seq, data, user_id)
    select '', s.id, i, 0, '1', case when i % 1000 = 0 then 'u1' end
    from (select id, row_number() over (order by id) as n from stream) s, generate_series(1, case when s.n = 1 then 30000 else 5 end) i`;
  await s.sql`
    insert into stream_group (tenant, stream_id, name, after_ms, after_seq, visibility_seconds, max_deliveries)
    select '', id, 'workers', 10000, 0, 60, 3 from stream`;
  await s.sql.unsafe(`
    insert into stream_pending (tenant, group_id, ms, seq, consumer, delivery, deliveries, delivered_at, visible_at, dead_at)
    select '', g.id, i, 0, 'a', i, 1, ${at}, ${at} + i * interval '1 second' - interval '1 hour', case when i % 100 = 0 then ${at} end
    from (select id, row_number() over (order by id) as n from stream_group) g, generate_series(1, case when g.n = 1 then 10000 else 3 end) i`);
  for (const scope of ["", "\u0001org\u0002o' || i % 50 || '\u0001"]) {
    await s.sql.unsafe(`
      insert into mutable (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
      select '', '${scope}ns', 'key-' || i, '1', ${at}, ${at}, i, i from generate_series(1, 10000) i`);
    await s.sql.unsafe(`
      insert into mutable_access (tenant, namespace, key, created_revision, count, accessed_at)
      select '', '${scope}ns', 'key-' || i, i, 1, ${at} from generate_series(1, 10000) i`);
    await s.sql.unsafe(`
      insert into immutable (tenant, type, id, version, first_version, created_at, first_created_at, metadata, digest, labels, data_text, data_words)
      select '', '${scope}note', 'id-' || i, 1, 1, ${at}, ${at}, '{}', '', '{}', '', '' from generate_series(1, 10000) i`);
    await s.sql.unsafe(`
      insert into immutable_version (tenant, type, id, version, data, metadata, created_at, salt, previous_digest, digest)
      select '', '${scope}note', 'id-' || i, 1, '1', '{}', ${at}, '', '', '' from generate_series(1, 10000) i`);
  }
  await s.sql`insert into stream_remains (tenant, id) select '', 1000000 + i from generate_series(1, 3000) i`;
  await s.sql`vacuum analyze`;
  const [row] = await s.sql`select pg_current_snapshot()::text as text`;
  now = parseSnapshot(row?.text);
});

/** The tables that are read as a whole; small ones aside, such as partitions that are empty. */
const whole = (nodes: Plan[]) =>
  nodes
    .filter((node) => node["Node Type"] === "Seq Scan" && node["Relation Name"])
    .map((node) => node["Relation Name"])
    .filter((name) => !/^change_(?!0|8)/.test(`${name}`))
    .filter(
      (name) =>
        !["feed", "event_excess", "event_life", "feed_floor", "feed_snapshot"].includes(`${name}`),
    );

const conditions = (nodes: Plan[]) =>
  nodes
    .filter((node) => node["Index Cond"])
    .map((node) => `${node["Index Name"]} ${node["Index Cond"]}`);

/** Does nothing for the first statements. */
function skipping(run: Run, count: number): Run {
  let left = count;
  return async (build) => (left-- > 0 ? [] : run(build));
}

const held = { name: "claim-500", fence: "7" };
const method = { ...Claims.method, ...Events.method };
const rpcs = Streams.method;
const byName = /^claim_pkey .*tenant = .*name = /;

describe("a claim is found by its name", () => {
  const calls: Record<string, () => Promise<Plan[]>> = {
    Get: () => rpc(claims.handlers.get, method.get.input, { name: held.name }),
    Renew: () => rpc(claims.handlers.renew, method.renew.input, { ...held, ttlSeconds: 1 }),
    Release: () => rpc(claims.handlers.release, method.release.input, held),
    "the guard of a publish": () =>
      rpc(events.handlers.publish, method.publish.input, {
        events: [{ channel: "c", dataJson: "1" }],
        claim: held,
      }),
  };
  it.each(Object.keys(calls))("by %s", async (what) => {
    const nodes = await (calls[what] as () => Promise<Plan[]>)();
    expect(whole(nodes)).toEqual([]);
    expect(conditions(nodes)).toContainEqual(expect.stringMatching(byName));
  });

  it("by Acquire, and so are those who wait for it", async () => {
    const plans: string[] = [];
    const onnotice = ({ message = "" }) => plans.push(message);
    const sql = connect(s.databaseUrl, { max: 1, onnotice });
    await sql`load 'auto_explain'`;
    await sql.unsafe(
      "set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; set auto_explain.log_level = notice",
    );
    const acquire = (name: string, waiter: string) =>
      sql`select * from acquire_claim('', ${name}, 'o', null, 'u1', null, 60, null, ${waiter}, true)`;
    for (let i = 0; i < 8; i++) await acquire("claim-500", "new"); // at last by generic plans
    await acquire("free", "new");
    await sql`select claim_place('', 'claim-500', 'new')`;
    await sql.end();
    expect(plans.length).toBeGreaterThan(50);
    expect(plans.filter((plan) => /Seq Scan/.test(plan))).toEqual([]);
  });
});

it("a page of claims is read in order from its position", async () => {
  const nodes = await rpc(claims.handlers.list, method.list.input, {
    prefix: "claim-1",
    limit: 10,
  });
  expect(whole(nodes)).toEqual([]);
  expect(conditions(nodes)).toContainEqual(
    expect.stringMatching(/^claim_pkey .*tenant = .*name > .*name >= .*name < /),
  );
});

it("the sweep finds claims by their time", async () => {
  const nodes = await housekeeping((run) => sweepClaims(skipping(run, 1)));
  expect(conditions(nodes)).toContainEqual(expect.stringMatching(/^claim_by_expiry .*expires_at/));
});

describe("what is new in the log is found by its transaction", () => {
  const limits = { rowsMax: 100, bytesMax: 100_000 };
  const byTransaction = (nodes: Plan[]) => {
    expect(whole(nodes)).toEqual([]);
    const found = conditions(nodes).filter((one) => one.startsWith("change_"));
    expect(found.length).toBeGreaterThan(0);
    for (const one of found) expect(one).toMatch(/^change_\d+_xid_idx .*xid/);
  };

  it("for the reader of a worker", async () => {
    byTransaction(
      await housekeeping((run) => readPage(run, { from: now, events: { from: now } }, limits)),
    );
  });

  it("for a watch that goes on after a cursor", async () => {
    byTransaction(
      await housekeeping((run) =>
        readPage(
          run,
          { from: now },
          {
            ...limits,
            tenant: "",
            inSteps: true,
            matches: (sql) => sql`c.store = 'entry' and c.space = 'ns' and c.name >= 'key-5'`,
          },
        ),
      ),
    );
  });
});

it("an event is published without a look at others", async () => {
  const nodes = await rpc(events.handlers.publish, method.publish.input, {
    events: [{ channel: "c", dataJson: "1", userId: "u1" }],
    requestId: "r",
  });
  expect(whole(nodes)).toEqual([]);
  expect(conditions(nodes).filter((one) => one.startsWith("change"))).toEqual([]);
});

it("what a user has in the log and in claims is found by the user", async () => {
  const all: string[] = [];
  for (let skipped = 3; skipped < 8; skipped++) {
    const nodes = await housekeeping((run) => erase(skipping(run, skipped), "", "u1"));
    expect(whole(nodes)).toEqual([]);
    all.push(...conditions(nodes));
  }
  for (const index of [
    "claim_by_user",
    "claim_waiter_by_user",
    "change_0_tenant_user_id_idx",
    "change_8_tenant_user_id_idx",
    "stream_entry_by_user",
  ])
    expect(all).toContainEqual(expect.stringMatching(new RegExp(`^${index} .*user_id = `)));
});

describe("of a stream, entries and what is pending are found by their ids", () => {
  const stream = "stream-1";
  const of = { stream, group: "workers" };
  const deliveries = [{ id: "5-0" }, { id: "6-0", delivery: "6" }];
  const reader = { ...of, consumer: "b" };
  const { handlers } = streams;
  const known = [{ id: "1", stream_id: "1", name: stream, created_at: new Date() }];
  const calls: Record<string, () => Promise<Plan[]>> = {
    Append: () =>
      rpc(handlers.append, rpcs.append.input, {
        stream,
        entries: [{ dataJson: "1", userId: "u1" }],
        maxLen: 10n,
        maxAgeSeconds: 60,
        requestId: "r",
      }),
    "Append with a guard": () =>
      rpc(handlers.append, rpcs.append.input, {
        stream,
        entries: [{ dataJson: "1" }],
        claim: held,
      }),
    Range: () => rpc(handlers.range, rpcs.range.input, { stream, fromId: "5", toId: "9" }),
    "Range, reverse": () => rpc(handlers.range, rpcs.range.input, { stream, reverse: true }),
    Trim: () => rpc(handlers.trim, rpcs.trim.input, { stream, maxLen: 10n, beforeId: "5-0" }),
    "Trim of pending": () =>
      rpc(handlers.trim, rpcs.trim.input, { stream, maxAgeSeconds: 5, includePending: true }),
    Info: () => rpc(handlers.info, rpcs.info.input, { stream }),
    "Info of the groups": () => rpc(handlers.info, rpcs.info.input, of, known),
    List: () => rpc(handlers.list, rpcs.list.input, { prefix: "stream-1", limit: 10 }),
    Delete: () =>
      housekeeping((run) => removeStreams(run, (sql) => sql`s.tenant = '' and s.name = ${stream}`)),
    EnsureGroup: () => rpc(handlers.ensureGroup, rpcs.ensureGroup.input, of),
    Read: () => rpc(handlers.read, rpcs.read.input, reader),
    Ack: () => rpc(handlers.ack, rpcs.ack.input, { ...of, deliveries, requestId: "r" }),
    Nack: () => rpc(handlers.nack, rpcs.nack.input, { ...of, deliveries }),
    Extend: () => rpc(handlers.extend, rpcs.extend.input, { ...of, deliveries }),
    Pending: () => rpc(handlers.pending, rpcs.pending.input, of, known),
    TakeOver: () => rpc(handlers.takeOver, rpcs.takeOver.input, { ...reader, ids: ["5-0"] }),
    Retry: () => rpc(handlers.retry, rpcs.retry.input, { ...of, ids: ["100-0"] }),
    RemoveConsumer: () => rpc(handlers.removeConsumer, rpcs.removeConsumer.input, reader),
    DeleteGroup: () => rpc(handlers.deleteGroup, rpcs.deleteGroup.input, of),
    "the look-out for readers": () =>
      housekeeping((run) => readyStreams(run, [{ tenant: "", name: `${stream}\0workers` }])),
    "the sweep": () => housekeeping((run) => sweepStreams(run)),
  };
  it.each(Object.keys(calls))("by %s", async (what) => {
    const nodes = await (calls[what] as () => Promise<Plan[]>)();
    expect(whole(nodes)).toEqual([]);
    expect(conditions(nodes).some((one) => one.startsWith("stream"))).toBe(true);
  });
});

describe("what is in a scope is found by the range of its names", () => {
  const range = rangeOf({ scope: pathOf([{ key: "org", identifier: "o7" }]) });
  const found = (nodes: Plan[], index: string, column: string) => {
    expect(whole(nodes)).toEqual([]);
    const ranges = conditions(nodes).filter((one) => one.startsWith(index));
    expect(ranges).toContainEqual(expect.stringMatching(`tenant = .*${column} >= .*${column} < `));
  };

  it("by List, scope by scope", async () => {
    const nodes = await rpc(scopes.handlers.list, Scopes.method.list.input, {});
    for (const [index, column] of [
      ["mutable_pkey", "namespace"],
      ["immutable_", "type"],
      ["claim_pkey", "name"],
      ["stream_pkey", "name"],
    ] as const)
      found(nodes, index, column);
  });

  it("by Purge, and by its dry run", async () => {
    found(await housekeeping((run) => countScope(run, "", range)), "mutable_pkey", "namespace");
    for (const [skipped, index, column] of [
      [0, "claim_pkey", "name"],
      [1, "mutable_pkey", "namespace"],
      [2, "immutable_", "type"],
      [3, "immutable_", "type"],
      [4, "stream_pkey", "name"],
    ] as const) {
      const statement = (run: Run) => removeScope(skipping(run, skipped), "", range);
      found(await housekeeping(statement), index, column);
    }
  });

  it("by Export", async () => {
    for (const [table, name, index, column] of [
      [entries, "m.namespace", "mutable_pkey", "namespace"],
      [versions, "v.type", "immutable_version_pkey", "type"],
      [exportedClaims, "c.name", "claim_pkey", "name"],
    ] as const) {
      const statement = (run: Run) =>
        run(
          (sql) =>
            sql`${table.rows(sql, "", isIn(sql, sql.unsafe(name), range), ["", "", 0])} limit 101`,
        );
      found(await housekeeping(statement), index, column);
    }
  });
});

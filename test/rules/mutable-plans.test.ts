// Checks that each frequent statement finds its rows by an index in a large namespace. The tests explain the
// very statements that the handlers run.
import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { beforeAll, describe, expect, it } from "vitest";
import {
  MutableStore,
  type PurgeAllResponse,
  SortBy,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../../server/grpc/call.js";
import { mutableStore } from "../../server/mutable/service.js";
import { sweepEntries } from "../../server/storage/entries/sweep.js";
import { measure } from "../../server/storage/usage/measure.js";
import { foldUsage } from "../../server/storage/usage/usage.js";
import { keepExpired } from "../support/keep-expired.js";
import { explainer, type Plan, scansWithoutFullKey } from "../support/plans.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({ allowPurgeAll: true });
keepExpired(s);
const { housekeeping, rpc } = explainer(s);
const namespace = "big";
const key = "store-0500:item-050";

/** The conditions of the index scans over `mutable`. Fails if a table is read without an index. */
function found(nodes: Plan[]): string[] {
  const scans = nodes.filter((node) => node["Node Type"] === "Seq Scan" && node["Relation Name"]);
  expect(scans.filter((node) => node["Relation Name"] !== "usage_delta")).toEqual([]); // has few rows
  return nodes
    .filter((node) => node["Index Name"]?.startsWith("mutable_") && node["Index Cond"])
    .map((node) => `${node["Index Name"]} ${node["Index Cond"]}`);
}

const byKey = /^mutable_pkey .*tenant = .*namespace = .*key = /;
const { method } = MutableStore;

// One call of each kind that runs in a shared statement.
const place = { namespace, key };
const increment = { case: "increment" as const, value: {} };
const value = { case: "set" as const, value: { valueJson: "1", userId: "u1" } };
const shared: Record<string, () => Promise<Plan[]>> = {
  Get: () => rpc(mutableStore.handlers.get, method.get.input, place),
  Set: () =>
    rpc(mutableStore.handlers.set, method.set.input, { ...place, valueJson: "1", userId: "u1" }),
  "Set of nothing but a value": () =>
    rpc(mutableStore.handlers.set, method.set.input, { ...place, valueJson: "1" }),
  "Set with a request id": () =>
    rpc(mutableStore.handlers.set, method.set.input, { ...place, valueJson: "1", requestId: "r" }),
  "Commit of plain writes": () =>
    rpc(mutableStore.handlers.commit, method.commit.input, {
      operations: [
        { ...place, operation: value },
        { namespace, key: "other", operation: increment },
      ],
      requestId: "r",
    }),
  Update: () =>
    rpc(mutableStore.handlers.update, method.update.input, { ...place, operation: increment }),
  "Update with a request id": () =>
    rpc(mutableStore.handlers.update, method.update.input, {
      ...place,
      operation: increment,
      requestId: "r",
    }),
  Delete: () => rpc(mutableStore.handlers.delete, method.delete.input, place),
  Commit: () =>
    rpc(mutableStore.handlers.commit, method.commit.input, {
      preconditions: [{ ...place, condition: { case: "exists", value: true } }],
      operations: [
        { ...place, operation: value },
        { ...place, operation: { case: "delete", value: {} } },
        { namespace, key: "other", operation: increment },
      ],
      requestId: "r",
    }),
};
const whileEmpty = new Map<string, Plan[]>();

beforeAll(async () => {
  await s.sql`vacuum analyze`;
  for (const [name, explain] of Object.entries(shared)) whileEmpty.set(name, await explain());
  await s.sql`insert into users (tenant, id, created_at, updated_at) select '', 'u' || n, now(), now() from generate_series(1, 100) n`;
  for (const [name, keys] of [
    [namespace, 100_000],
    ["small", 1000],
    ["other", 50_000],
  ] as const)
    await s.sql`
      insert into mutable (tenant, namespace, key, value, user_id, created_at, updated_at, expire_at, revision, created_revision)
      select '', ${name}, 'store-' || lpad((n / 100)::text, 4, '0') || ':item-' || lpad((n % 100)::text, 3, '0'), '{"quantity": 1}',
        case when n % 100 = 0 then 'u' || (n / 100) % 100 + 1 end, now(), now(),
        case when n % 50 = 0 then now() + n * interval '1 second' end, n, n
      from generate_series(0, ${keys - 1}) n`;
  await s.sql`
    insert into mutable_access (tenant, namespace, key, created_revision, count, accessed_at)
    select tenant, namespace, key, created_revision, 1, now() from mutable where namespace = ${namespace}`;
  await s.sql`select setval('revision', 100_000)`;
  // Many namespaces, whose sums are not to be read for one of them.
  await s.sql`
    insert into mutable (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
    select '', 'ns-' || n, 'k', '1', now(), now(), n, n from generate_series(1, 20000) n`;
  await foldUsage((build) => build(s.sql) as never);
  await s.sql`analyze`;
}, 120_000);

describe("one entry is found by its key in", () => {
  it.each<[string, () => Promise<Plan[]>]>([
    ["GetRecord", () => rpc(mutableStore.handlers.getRecord, method.getRecord.input, place)],
    ["Exists", () => rpc(mutableStore.handlers.exists, method.exists.input, place)],
    [
      "BatchGet",
      () =>
        rpc(mutableStore.handlers.batchGet, method.batchGet.input, {
          namespace,
          keys: [key, "x", "y"],
        }),
    ],
  ])("%s", async (_, explain) => {
    expect(found(await explain())).toEqual(expect.arrayContaining([expect.stringMatching(byKey)]));
  });
});

describe("a shared statement looks up whatever it touches by the whole of its primary key", () => {
  it.each(Object.keys(shared))("%s", async (name) => {
    expect(scansWithoutFullKey((await shared[name]?.()) ?? [], whole)).toEqual([]);
  });

  it.each(Object.keys(shared))("%s, also if it was planned while the tables were empty", (name) => {
    expect(scansWithoutFullKey(whileEmpty.get(name) ?? [], whole)).toEqual([]);
  });
});

const whole = {
  mutable: /tenant = .*namespace = .*key = /,
  mutable_access: /tenant = .*namespace = .*key = /,
  request: /tenant = .*id = /,
  users: /tenant = .*id = /,
};

describe("a list reads its own range of the key", () => {
  const range = /^mutable_pkey .*tenant = .*namespace = .*key >= .*key < /;
  it.each(["store-0500:", "store-0999:item-09", "store-05"])(
    "of the prefix %s",
    async (keyPrefix) => {
      const nodes = await rpc(mutableStore.handlers.list, method.list.input, {
        namespace,
        filter: { keyPrefix },
      });
      // One scan for the page, one for the total.
      expect(found(nodes).filter((condition) => range.test(condition))).toHaveLength(2);
      expect(
        nodes.some(
          (node) =>
            node["Node Type"] === "Sort" && node.Plans?.[0]?.["Relation Name"] === "mutable",
        ),
      ).toBe(false);
    },
  );

  it("from where the page before ended, in both directions, without sorting", async () => {
    for (const sortOrder of [1, 2]) {
      const query = { namespace, limit: 100, total: false, sortOrder };
      const first = s.client();
      const { nextPageToken = "" } = await first.mutable.list(namespace, {
        sortOrder: sortOrder === 1 ? "asc" : "desc",
      });
      const nodes = await rpc(mutableStore.handlers.list, method.list.input, {
        ...query,
        sortBy: SortBy.KEY,
        pageToken: nextPageToken,
      });
      expect(found(nodes)).toEqual(
        expect.arrayContaining([expect.stringMatching(sortOrder === 1 ? /key > / : /key < /)]),
      );
      expect(
        nodes.filter(
          (node) => node["Node Type"] === "WindowAgg" && node.Plans?.[0]?.["Node Type"] === "Sort",
        ),
      ).toEqual([]);
    }
  });

  it("and so do Count and PurgeMany of a prefix", async () => {
    const filter = { keyPrefix: "store-0500:" };
    expect(
      found(await rpc(mutableStore.handlers.count, method.count.input, { namespace, filter })),
    ).toEqual([expect.stringMatching(range)]);
    expect(
      found(
        await rpc(mutableStore.handlers.purgeMany, method.purgeMany.input, { namespace, filter }),
      ),
    ).toEqual([expect.stringMatching(range)]);
  });
});

describe("a step of a purge reads its own range of an index, and sorts only what it has found", () => {
  const { purgeNamespace, purgeMany, purgeAll } = mutableStore.handlers;
  const plan = async <I extends DescMessage, O extends DescMessage>(
    handler: (request: MessageShape<I>, call: Call) => unknown,
    rpcMethod: DescMethodUnary<I, O>,
    request: object,
  ) => {
    const raw = new Raw(s.address);
    const step = { ...request, entriesMax: 5, dryRun: true };
    const { continueToken } = (await raw.call(
      rpcMethod,
      step as never,
    )) as Partial<PurgeAllResponse>;
    raw.close();
    const begun = { revision: "0" }; // the row of a step's first statement
    const nodes = await rpc(handler, rpcMethod.input, { ...step, continueToken } as never, [begun]);
    for (const { Plans } of nodes.filter((node) => node["Node Type"] === "Sort"))
      expect(Plans?.[0]?.["Node Type"]).toBe("CTE Scan");
    return found(nodes);
  };

  it.each<[string, RegExp, () => Promise<string[]>]>([
    [
      "PurgeNamespace",
      /^mutable_pkey .*namespace = .*key > .*key <= /,
      () => plan(purgeNamespace, method.purgeNamespace, { namespace }),
    ],
    [
      "PurgeMany",
      /^mutable_by_user .*user_id = .*namespace = .*key > .*key <= /,
      () => plan(purgeMany, method.purgeMany, { namespace, filter: { userId: "u7" } }),
    ],
    [
      "PurgeAll",
      /^mutable_pkey .*ROW\(namespace, key\) > .*ROW\(namespace, key\) <= /,
      () => plan(purgeAll, method.purgeAll, {}),
    ],
  ])("%s", async (_, range, conditions) => {
    const all = await conditions();
    expect(all).toContainEqual(expect.stringMatching(range));
    for (const condition of all) expect(condition).toMatch(/key\)? > /); // never from the beginning
  });
});

describe("whole namespaces are counted by sums, less the entries that have expired", () => {
  const sums = expect.stringMatching(/^usage_pkey .*tenant = .*kind = /);
  const expired = expect.stringMatching(/^mutable_expired .*tenant = .*expire_at <= /);
  const scans = (nodes: Plan[]) => {
    found(nodes); // no table is read without an index
    return nodes
      .filter((node) => node["Index Cond"] && node["Relation Name"] !== "usage_delta")
      .map((node) => `${node["Index Name"]} ${node["Index Cond"]}`)
      .sort();
  };

  it("Count", async () => {
    const nodes = await rpc(mutableStore.handlers.count, method.count.input, { namespace });
    expect(scans(nodes)).toEqual([expired, sums]);
  });

  it("the total of List", async () => {
    const request = { namespace, limit: 1 };
    const nodes = await rpc(mutableStore.handlers.list, method.list.input, request);
    const page = expect.stringMatching(/^mutable_pkey .*namespace = /);
    const accesses = expect.stringMatching(/^mutable_access_pkey .*key = /);
    expect(scans(nodes)).toEqual([accesses, expired, page, sums]);
  });

  it("ListNamespaces, which stops at its limit", async () => {
    const { listNamespaces } = mutableStore.handlers;
    const nodes = await rpc(listNamespaces, method.listNamespaces.input, { limit: 1 });
    expect(scans(nodes)).toEqual([expired, sums, sums]);
  });

  it("the amounts that quotas limit", async () => {
    const nodes = await housekeeping((run) => measure(run, ["", "other"]));
    expect(scans(nodes)).toEqual([expired, sums]);
  });
});

it("a user's entries are found by the user", async () => {
  const filter = { userId: "u7" };
  expect(
    found(await rpc(mutableStore.handlers.count, method.count.input, { namespace, filter })),
  ).toEqual([expect.stringMatching(/^mutable_by_user .*user_id = /)]);
});

it("idle entries of a prefix are found by the prefix, their accesses by their key", async () => {
  const filter = { keyPrefix: "store-0500:", lastAccessedBefore: timestampFromDate(new Date()) };
  expect(
    found(await rpc(mutableStore.handlers.count, method.count.input, { namespace, filter })),
  ).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^mutable_pkey .*key >= /),
      expect.stringMatching(/^mutable_access_pkey .*key = /),
    ]),
  );
});

it("the sweep finds expired entries by their expiry time", async () => {
  expect(found(await housekeeping((run) => sweepEntries(run)))).toEqual(
    expect.arrayContaining([expect.stringMatching(/^mutable_by_expiry .*expire_at <= /)]),
  );
});

import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type CommitRequestSchema,
  type CommitResponse,
  MutableStore,
  type OperationSchema,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { type Failure, Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const { commit } = MutableStore.method;
type Request = MessageInitShape<typeof CommitRequestSchema>;
type Operation = MessageInitShape<typeof OperationSchema>;

let raw: Raw;
beforeAll(() => {
  raw = new Raw(s.address);
});
afterAll(() => raw.close());

const send = (request: Request) => raw.call(commit, request);
const sent = async (request: Request) => (await send(request)) as CommitResponse;
const failed = async (request: Request) => (await send(request)) as Failure;
const set = (key: string, valueJson: string, namespace = "ns"): Operation => ({
  namespace,
  key,
  operation: { case: "set", value: { valueJson } },
});
const on = (key: string, operation: Operation["operation"], more = {}): Operation => ({
  namespace: "ns",
  key,
  operation: operation as never,
  ...more,
});
const add = (key: string, amount = "1", more = {}) =>
  on(key, { case: "increment", value: { amount } }, more);
const drop = (key: string) => on(key, { case: "delete", value: {} });
const values = (response: CommitResponse) =>
  response.results.map(({ result }) =>
    result.case === "record"
      ? JSON.parse(result.value.valueJson)
      : result.case === "deleted" && result.value.deleted,
  );

describe("Commit", () => {
  it("applies every kind of operation, in order, in any namespaces; later ones see earlier ones", async () => {
    const response = await sent({
      operations: [
        set("o-a", "1", "one"),
        set("o-b", "[]", "two"),
        { ...add("o-a", "4"), namespace: "one" },
        { ...on("o-a", { case: "decrement", value: { amount: "2" } }), namespace: "one" },
        { ...on("o-b", { case: "append", value: { valueJson: '"x"' } }), namespace: "two" },
        set("o-c", '{"a":1}'),
        on("o-c", { case: "merge", value: { patchJson: '{"b":2}' } }),
        on("o-c", { case: "replace", value: { valueJson: "null" } }),
        drop("o-c"),
        add("o-c", "7", { createIfMissing: true }),
      ],
    });
    expect(values(response)).toEqual([1, [], 5, 3, ["x"], { a: 1 }, { a: 1, b: 2 }, null, true, 7]);
    expect(await s.cortex.mutable.get("one", "o-a")).toBe(3);
    expect(await s.cortex.mutable.get("two", "o-b")).toEqual(["x"]);
    const record = await s.cortex.mutable.getRecord("ns", "o-c");
    expect(record?.value).toBe(7);
    const revisions = response.results.flatMap(({ result }) =>
      result.case === "record" ? BigInt(result.value.revision) : [],
    );
    expect(new Set(revisions).size).toBe(revisions.length); // all are different
  });

  it("gives each write what a call of its own would: user, metadata, expiry, createdAt", async () => {
    await s.cortex.users.create("u");
    await s.cortex.mutable.set("ns", "kept", 1, { userId: "u", metadata: { m: 1 } });
    const before = await s.cortex.mutable.getRecord("ns", "kept");
    await sent({ operations: [set("kept", "2"), add("kept")] });
    const after = await s.cortex.mutable.getRecord("ns", "kept");
    expect(after).toMatchObject({ value: 3, userId: "u", metadata: { m: 1 } });
    expect(after?.createdAt).toEqual(before?.createdAt);
    const value = { valueJson: "1", ttlSeconds: 60, clearUserId: true, metadataJson: '{"n":2}' };
    await sent({ operations: [on("kept", { case: "set", value })] });
    const last = await s.cortex.mutable.getRecord("ns", "kept");
    expect(last).toMatchObject({ metadata: { n: 2 } });
    expect(last?.userId).toBeUndefined();
    expect(last?.expiresAt?.getTime()).toBe((last?.updatedAt.getTime() ?? 0) + 60_000);
  });

  it("changes nothing if one operation fails, and says which and why", async () => {
    await s.cortex.mutable.setMany("ns", { n: 1, text: "t", list: [], left: 1 });
    const big = `"${"x".repeat(1024 * 1024 - 10)}"`;
    await s.cortex.mutable.set("ns", "big", [big]);
    const user = { case: "set" as const, value: { valueJson: "1", userId: "nobody" } };
    for (const [operation, reason, details] of [
      [drop("missing"), "KEY_NOT_FOUND", { key: "missing" }],
      [add("missing"), "KEY_NOT_FOUND", { namespace: "ns", key: "missing" }],
      [add("text"), "VALUE_NOT_NUMERIC", { got: "string" }],
      [
        on("n", { case: "append", value: { valueJson: "1" } }),
        "VALUE_NOT_ARRAY",
        { got: "number" },
      ],
      [on("big", { case: "append", value: { valueJson: big } }), "VALUE_TOO_LARGE", {}],
      [on("n", user), "USER_NOT_FOUND", { user_id: "nobody" }],
    ] as const) {
      const failure = await failed({
        operations: [set("left", "2"), drop("n"), set("new", "1"), add("left"), operation],
      });
      // Operations on the key "n" come after its delete in the same list, so they do not find it.
      const after =
        operation.key === "n" && reason === "VALUE_NOT_ARRAY" ? "KEY_NOT_FOUND" : reason;
      expect(failure).toMatchObject({
        status: 9,
        reason: "TRANSACTION_FAILED",
        details: {
          operation_index: "4",
          reason: after,
          ...(after === reason ? details : {}),
        },
      });
      expect(failure.message).toContain("operation 4");
      expect(await s.cortex.mutable.getMany("ns", ["n", "left", "new"])).toEqual([1, 1, null]);
    }
  });

  it("names the first of several operations that fail", async () => {
    const failure = await failed({
      operations: [set("first", "1"), drop("gone-1"), drop("gone-2")],
    });
    expect(failure.details).toMatchObject({ operation_index: "1", key: "gone-1" });
    expect(await s.cortex.mutable.exists("ns", "first")).toBe(false);
  });

  it("checks preconditions against what was there before, whatever the operations do", async () => {
    const { revision } = await s.cortex.mutable.set("ns", "cas", 1);
    const at = { namespace: "ns", key: "cas" };
    const is = (condition: NonNullable<Request["preconditions"]>[number]["condition"]) => [
      { ...at, condition: condition as never },
    ];
    const operations = [set("cas", "2"), set("beside", "1")];
    for (const [condition, reason, details] of [
      [
        { case: "revision", value: "9223372036854775807" },
        "REVISION_MISMATCH",
        { current_revision: revision },
      ],
      [{ case: "exists", value: false }, "KEY_EXISTS", { current_revision: revision }],
    ] as const) {
      const failure = await failed({ preconditions: is(condition), operations });
      expect(failure).toMatchObject({
        reason: "TRANSACTION_FAILED",
        details: { precondition_index: "0", reason, ...details },
      });
      expect(failure.message).toContain("precondition 0");
    }
    expect(
      (
        await failed({
          preconditions: [
            { namespace: "ns", key: "no", condition: { case: "exists", value: true } },
          ],
          operations,
        })
      ).details,
    ).toMatchObject({ precondition_index: "0", reason: "KEY_NOT_FOUND" });
    expect(await s.cortex.mutable.exists("ns", "beside")).toBe(false);

    const good = await sent({
      preconditions: [
        ...is({ case: "revision", value: revision }),
        ...is({ case: "exists", value: true }),
        { namespace: "ns", key: "beside", condition: { case: "exists", value: false } },
      ],
      operations,
    });
    expect(values(good)).toEqual([2, 1]);
  });

  it("takes preconditions without operations, and checks all at one moment", async () => {
    await s.cortex.mutable.set("ns", "there", 1);
    const exists = (key: string, value: boolean) => ({
      namespace: "ns",
      key,
      condition: { case: "exists" as const, value },
    });
    expect(
      (await sent({ preconditions: [exists("there", true), exists("absent", false)] })).results,
    ).toEqual([]);
    expect(await s.cortex.mutable.exists("ns", "absent")).toBe(false);
    expect(await s.cortex.mutable.count("ns", { keyPrefix: "absent" })).toBe(0);
    expect((await s.cortex.mutable.set("ns", "absent", 1, { ifAbsent: true })).value).toBe(1);
  });

  it("refuses what is malformed, naming the field, and changes nothing", async () => {
    const sound = set("sound", "1");
    for (const [request, reason, field] of [
      [{}, "INVALID_OPERATIONS", "operations"],
      [
        { operations: [sound, { namespace: "ns", key: "k" }] },
        "INVALID_OPERATIONS",
        "operations[1].operation",
      ],
      [
        { operations: [sound, { key: "k", operation: { case: "delete", value: {} } }] },
        "INVALID_NAMESPACE",
        "operations[1].namespace",
      ],
      [{ operations: [sound, set("\n", "1")] }, "INVALID_KEY", "operations[1].key"],
      [{ operations: [sound, set("k", "{")] }, "INVALID_VALUE", "operations[1].set.value_json"],
      [{ operations: [sound, add("k", "x")] }, "INVALID_AMOUNT", "operations[1].increment.amount"],
      [
        { operations: [sound, { ...drop("k"), createIfMissing: true }] },
        "INVALID_OPERATIONS",
        "operations[1].create_if_missing",
      ],
      [
        { operations: [sound], preconditions: [{ namespace: "ns", key: "k" }] },
        "INVALID_OPERATIONS",
        "preconditions[0].condition",
      ],
      [
        {
          operations: [sound],
          preconditions: [
            { namespace: "ns", key: "k", condition: { case: "revision", value: "0" } },
          ],
        },
        "INVALID_REVISION",
        "preconditions[0].revision",
      ],
      [{ operations: [sound], requestId: "" }, "INVALID_REQUEST_ID", "request_id"],
      [{ operations: [sound], requestId: "x".repeat(129) }, "INVALID_REQUEST_ID", "request_id"],
    ] as [Request, string, string][])
      expect(await failed(request)).toMatchObject({ status: 3, reason, details: { field } });
    expect(await s.cortex.mutable.exists("ns", "sound")).toBe(false);
  });

  it("takes 500 preconditions and operations together, and no more", async () => {
    const operations = (n: number) => Array.from({ length: n }, (_, i) => set(`many-${i}`, `${i}`));
    const preconditions = [
      { namespace: "ns", key: "nobody", condition: { case: "exists" as const, value: false } },
    ];
    expect(await failed({ preconditions, operations: operations(500) })).toMatchObject({
      reason: "INVALID_OPERATIONS",
      details: { limit: "500", got: "501" },
    });
    expect(await s.cortex.mutable.count("ns", { keyPrefix: "many-" })).toBe(0);
    expect((await sent({ preconditions, operations: operations(499) })).results).toHaveLength(499);
    expect(await s.cortex.mutable.count("ns", { keyPrefix: "many-" })).toBe(499);
  });

  it("takes a message of 4 MiB, and no more", async () => {
    const value = (bytes: number) => `"${"x".repeat(bytes - 2)}"`;
    const operations = Array.from({ length: 4 }, (_, i) => set(`large-${i}`, value(1_048_000)));
    expect((await sent({ operations })).results).toHaveLength(4);
    expect(await failed({ operations: [...operations, set("more", value(10_000))] })).toMatchObject(
      {
        reason: "MESSAGE_TOO_LARGE",
      },
    );
  });

  it("refuses operations whose reply would exceed 4 MiB, and applies none of them", async () => {
    await s.cortex.mutable.set("ns", "grows", ["x".repeat(1_000_000)]);
    const append = on("grows", { case: "append", value: { valueJson: "1" } });
    expect(await failed({ operations: Array.from({ length: 5 }, () => append) })).toMatchObject({
      reason: "TRANSACTION_FAILED",
      details: { reason: "REPLY_TOO_LARGE" },
    });
    expect(await s.cortex.mutable.get("ns", "grows")).toHaveLength(1);
    expect((await sent({ operations: [append, append] })).results).toHaveLength(2);
  });

  it("lets only one of two win if each requires that the other's key is absent: no write skew, also on two servers", async () => {
    const other = new Raw((await s.another()).address);
    const absent = (key: string) => ({
      namespace: "ns",
      key,
      condition: { case: "exists" as const, value: false },
    });
    const pair = async (round: number) => {
      const [a, b] = [`skew-${round}-a`, `skew-${round}-b`];
      // More operations make both commits take longer, so that they overlap.
      const work = Array.from({ length: 20 }, (_, i) => set(`skew-${round}-${i}`, `${i}`));
      const replies = await Promise.all([
        send({ preconditions: [absent(a)], operations: [...work.slice(0, 10), set(b, "1")] }),
        other.call(commit, {
          preconditions: [absent(b)],
          operations: [...work.slice(10), set(a, "1")],
        }),
      ]);
      expect(replies.filter((reply) => "results" in reply)).toHaveLength(1);
    };
    for (let round = 0; round < 60; round++) await pair(round);
    other.close();
  });

  it("of keys in opposite orders never blocks for good: everybody gets through", async () => {
    await s.cortex.mutable.setMany("ns", { x: 0, y: 0 });
    const rounds = Array.from({ length: 100 }, (_, i) =>
      sent({ operations: i % 2 ? [add("x"), add("y")] : [add("y"), add("x")] }),
    );
    for (const response of await Promise.all(rounds)) expect(response.results).toHaveLength(2);
    expect(await s.cortex.mutable.getMany("ns", ["x", "y"])).toEqual([100, 100]);
  });

  it("is seen whole or not at all by whoever reads", async () => {
    await s.cortex.mutable.setMany("ns", { left: 100, right: 0 });
    let moving = true;
    const moves = (async () => {
      for (let i = 0; i < 100; i++)
        await sent({ operations: [add("left", "-1"), add("right", "1")] });
      moving = false;
    })();
    while (moving) {
      const [left, right] = await s.cortex.mutable.getMany("ns", ["left", "right"]);
      expect(left + right).toBe(100);
    }
    await moves;
  });
});

// Stored replies are bounded: a large value is not kept with the reply, and the large replies of a tenant have a
// limit together.
import { describe, expect, it } from "vitest";
import { Cortex, type MutableRecord } from "../../client/index.js";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { MutableStore, type Record } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { proxyToServer } from "../support/proxy.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const large = "x".repeat(5000);
const { update, commit, set, batchSet } = MutableStore.method;
let id = 0;
const requestId = () => `kept-${id++}`;

const call = async <M extends Parameters<Raw["call"]>[0]>(
  method: M,
  request: Parameters<Raw["call"]>[1],
) => {
  const raw = new Raw(s.address);
  const reply = await raw.call(method, request as never, {});
  raw.close();
  if ("reason" in reply) throw new Error(JSON.stringify(reply));
  return reply as never as {
    record: Record;
    results: { result: { value: Record } }[];
    records: Record[];
  };
};
/** The size of the reply that was stored last. */
const replyBytes = async () =>
  (
    await s.sql`select octet_length(reply::text) as bytes from request order by created_at desc limit 1`
  )[0]?.bytes;

describe("an operation with a large value", () => {
  const appending = (key: string, more = {}) => ({
    namespace: "kept",
    key,
    operation: { case: "append", value: { valueJson: `"${large}"` } },
    createIfMissing: true,
    ...more,
  });

  it("keeps its revision and times; a repeat gets the value while it is current", async () => {
    const request = appending("a", { requestId: requestId() });
    const first = await call(update, request);
    expect(first.record.valueJson).toBe(`["${large}"]`);
    expect(await replyBytes()).toBeLessThan(1000);
    expect(await call(update, request)).toEqual(first);
    const { record } = await call(update, appending("a", { requestId: requestId() }));
    const { record: again } = await call(update, request);
    expect(again).toMatchObject({ valueOmitted: true, valueJson: "", metadataJson: "" });
    const { valueJson, metadataJson, valueOmitted, ...rest } = first.record;
    expect(again).toMatchObject(rest);
    expect(record.valueOmitted).toBe(false);
    // Nothing was appended twice.
    expect(await s.cortex.mutable.get("kept", "a")).toEqual([large, large]);
  });

  it.each([4096, 4097])("has the limit at 4 KiB of value and metadata: %d", async (bytes) => {
    const value = { valueJson: JSON.stringify("x".repeat(bytes - 6)) };
    const request = {
      namespace: "kept",
      key: `limit-${bytes}`,
      operation: { case: "append", value },
      createIfMissing: true,
      requestId: requestId(),
    };
    // An array around the text, and the metadata {}.
    const { record } = await call(update, request);
    expect(record.valueJson.length + record.metadataJson.length).toBe(bytes);
    await s.cortex.mutable.delete("kept", `limit-${bytes}`);
    expect((await call(update, request)).record.valueOmitted).toBe(bytes > 4096);
  });

  it("has what the request itself has", async () => {
    const metadataJson = JSON.stringify({ large });
    const request = {
      namespace: "kept",
      key: "own",
      valueJson: "1",
      metadataJson,
      requestId: requestId(),
    };
    const first = await call(set, request);
    await s.cortex.mutable.set("kept", "own", 2, { metadata: {} });
    expect(await call(set, request)).toEqual(first);
    // Inherited metadata is not in the request.
    await s.cortex.mutable.set("kept", "inherits", 1, { metadata: { large } });
    const inheriting = {
      namespace: "kept",
      entries: [{ key: "inherits", valueJson: "2" }],
      requestId: requestId(),
    };
    const { records } = await call(batchSet, inheriting);
    expect(records[0]?.metadataJson).toContain(large);
    expect((await call(batchSet, inheriting)).records).toEqual(records);
    await s.cortex.mutable.set("kept", "inherits", 3);
    expect((await call(batchSet, inheriting)).records).toMatchObject([{ valueOmitted: true }]);
  });

  it("in a transaction, too: with versions, which are read where they are kept", async () => {
    const store = (n: number) => ({
      operation: {
        case: "store",
        value: { type: "kept", id: "r", dataJson: JSON.stringify({ n, large }) },
      },
    });
    const request = {
      operations: [appending("t"), store(1), appending("t"), store(2)],
      requestId: requestId(),
    };
    const first = await call(commit, request);
    expect(await replyBytes()).toBeLessThan(3000);
    const again = await call(commit, request);
    // The first append left a revision that is not current any more.
    expect(again.results[0]?.result.value).toMatchObject({ valueOmitted: true });
    expect(again.results.slice(1)).toEqual(first.results.slice(1));
    await s.cortex.immutable.purge("kept", "r");
    const { results } = await call(commit, request);
    // The request has the data, but not the metadata that the version inherited.
    for (const [i, n] of [
      [1, 1],
      [3, 2],
    ] as const)
      expect(results[i]?.result.value).toMatchObject({
        current: {
          version: n,
          contentOmitted: true,
          dataJson: JSON.stringify({ n, large }),
          metadataJson: "",
        },
      });
  });

  it("has what the request itself has, also in a Commit that stores", async () => {
    const valueJson = JSON.stringify(large);
    const store = {
      type: "kept",
      id: "o",
      dataJson: JSON.stringify({ large }),
      metadataJson: "{}",
    };
    const request = {
      operations: [
        {
          namespace: "kept",
          key: "o",
          operation: { case: "set", value: { valueJson, metadataJson: "{}" } },
        },
        { operation: { case: "store", value: store } },
      ],
      requestId: requestId(),
    };
    const first = await call(commit, request);
    await s.cortex.mutable.set("kept", "o", 1);
    await s.cortex.immutable.purge("kept", "o");
    expect(await call(commit, request)).toEqual(first);
  });

  it("in Transact, too", async () => {
    const id = requestId();
    const t = new RawTransaction(s.address);
    await t.ask({ case: "begin", value: {} });
    await t.ask({ case: "write", value: { operations: [appending("conversation")] as never[] } });
    const committed = await t.ask({ case: "commit", value: { requestId: id } });
    t.close();
    expect(await replyBytes()).toBeLessThan(3000);
    const again = new RawTransaction(s.address);
    expect(await again.ask({ case: "begin", value: { requestId: id } })).toEqual(committed);
    again.close();
  });

  it("a store: with large metadata that it inherits", async () => {
    const record = { type: "kept", id: "m", dataJson: "{}" };
    await call(ImmutableStore.method.store, { ...record, metadataJson: JSON.stringify({ large }) });
    const request = { ...record, requestId: requestId() };
    const first = await call(ImmutableStore.method.store, request);
    expect(await call(ImmutableStore.method.store, request)).toEqual(first);
    await s.cortex.immutable.purge("kept", "m");
    const { record: again } = await call(ImmutableStore.method.store, request);
    expect(again).toMatchObject({
      current: { version: 2, contentOmitted: true, dataJson: "{}", metadataJson: "" },
    });
  });
});

describe("the client", () => {
  it("says that the value is omitted; update(fn) keeps its own", async () => {
    const proxy = await proxyToServer(s.address);
    const client = new Cortex({ address: `127.0.0.1:${proxy.port}`, timeoutMs: 20_000 });
    await s.cortex.mutable.set("kept", "client", []);
    await s.cortex.mutable.set("kept", "fn", { n: 0 }, { metadata: { large } });
    // The reply is lost; before the repeat, somebody else writes.
    const between = async (key: string, work: () => Promise<MutableRecord>) => {
      const revision = async () => (await s.cortex.mutable.getRecord("kept", key))?.revision;
      const before = await revision();
      await client.mutable.exists("kept", key); // connects
      const result = work();
      await expect.poll(revision, { timeout: 10_000 }).not.toBe(before);
      await s.cortex.mutable.set("kept", key, "another");
      proxy.cut();
      return result;
    };
    const appended = await between("client", () => {
      proxy.hold();
      return client.mutable.append("kept", "client", large);
    });
    expect(appended).toMatchObject({ valueOmitted: true, value: undefined });
    const updated = await between("fn", () =>
      client.mutable.update("kept", "fn", () => {
        proxy.hold(); // after the read
        return { n: 1 };
      }),
    );
    expect(updated).toMatchObject({ value: { n: 1 } });
    expect(updated).not.toHaveProperty("valueOmitted");
    await client.close();
    proxy.close();
  });
});

describe("the large replies of a tenant", () => {
  const large2 = "y".repeat(3000); // is kept with its reply
  const kept = async (tenant: string) =>
    (
      await s.sql`
        select coalesce(sum(octet_length(reply::text)), 0)::int as bytes, count(*)::int as replies from request where tenant = ${tenant}`
    )[0];

  it("are bounded together: beyond --reply-bytes the oldest keep revisions and times only", async () => {
    const replyBytes = 256 * 1024;
    const { address } = await s.another({ replyBytes });
    const client = s.client({ address, tenantId: "bounded" });
    const raw = new Raw(address);
    const append = (i: number) =>
      raw.call(
        update,
        {
          namespace: "n",
          key: `k${i}`,
          operation: { case: "append", value: { valueJson: `"${large2}"` } },
          createIfMissing: true,
          requestId: `bounded-${i}`,
        },
        { "x-tenant-id": "bounded" },
      ) as Promise<{ record: Record }>;
    const first = await append(0);
    for (let i = 1; i < 400; i += 20)
      await Promise.all(Array.from({ length: 20 }, (_, n) => append(i + n)));
    await expect.poll(async () => (await kept("bounded"))?.bytes).toBeLessThan(1.5 * replyBytes);
    expect((await kept("bounded"))?.replies).toBe(401);
    // A slimmed reply still says what was done, and it is not done again.
    expect(await append(0)).toEqual(first);
    await client.mutable.set("n", "k0", 1);
    expect((await append(0)).record).toMatchObject({
      valueOmitted: true,
      revision: first.record.revision,
    });
    expect((await append(400)).record.valueJson).toContain(large2); // the newest keep their values
    await client.mutable.set("n", "k400", 1);
    expect((await append(400)).record.valueJson).toContain(large2);
    raw.close();
  });

  it("hold against merges into a large value, which are no part of the quota", async () => {
    const { address } = await s.another({ quotaBytes: 2_000_000 });
    const client = s.client({ address, tenantId: "merges" });
    await client.mutable.set("n", "k", { text: "z".repeat(900_000) });
    for (let i = 0; i < 50; i++) await client.mutable.merge("n", "k", { i });
    expect((await kept("merges"))?.bytes).toBeLessThan(51 * 600);
    expect((await client.mutable.get("n", "k")).i).toBe(49);
  });

  it("keep nothing for long with --reply-bytes 0; purges and users are answered all the same", async () => {
    const { address } = await s.another({ replyBytes: 0 });
    const client = s.client({ address, tenantId: "nothing" });
    const keys = Array.from({ length: 200 }, (_, i) => `key-${i}`.padEnd(20, "-"));
    await client.mutable.setMany("n", Object.fromEntries(keys.map((key) => [key, 1])));
    await client.users.create("user", { large });
    const purged = await client.mutable.purgeNamespace("n", { requestId: "purge" });
    expect(purged.keys).toHaveLength(200);
    for (let i = 0; i < 10; i++)
      await client.users.upsert("user", undefined, { requestId: `upsert-${i}` });
    const again = () => client.mutable.purgeNamespace("n", { requestId: "purge" });
    await expect.poll(async () => (await again()).keys).toEqual([]);
    expect((await again()).deleted).toBe(200);
    expect(
      (await client.users.upsert("user", undefined, { requestId: "upsert-0" })).profile,
    ).toEqual({
      large,
    });
  });
});

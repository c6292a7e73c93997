import { expect, it } from "vitest";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();

it("gives the namespaces with their keys and bytes, by name, and by prefix", async () => {
  await s.cortex.mutable.setMany("stores:15", { a: "é", b: 1 });
  await s.cortex.mutable.set("stores:23", "a", null);
  await s.cortex.mutable.set("config", "a", {});
  await s.cortex.mutable.set("expired", "a", 1, { ttlSeconds: 0.001 });
  await s.cortex.mutable.set("emptied", "a", 1);
  await s.cortex.mutable.delete("emptied", "a");
  const stores = [
    { namespace: "stores:15", keys: 2, bytes: 5 },
    { namespace: "stores:23", keys: 1, bytes: 4 },
  ];
  expect(await s.cortex.mutable.listNamespaces()).toEqual([
    { namespace: "config", keys: 1, bytes: 2 },
    ...stores,
  ]);
  expect(await s.cortex.mutable.listNamespaces({ prefix: "stores:" })).toEqual(stores);
  expect(await s.cortex.mutable.listNamespaces({ prefix: "x" })).toEqual([]);
  await expect(s.cortex.mutable.listNamespaces({ prefix: "" })).toFailWith("INVALID_FILTER");
});

it("pages by token", async () => {
  const raw = new Raw(s.address);
  const { listNamespaces } = MutableStore.method;
  const first = await raw.call(listNamespaces, { limit: 2 });
  expect(first).toMatchObject({
    namespaces: [{ namespace: "config" }, { namespace: "stores:15" }],
  });
  const { nextPageToken } = first as { nextPageToken: string };
  expect(await raw.call(listNamespaces, { limit: 2, pageToken: nextPageToken })).toMatchObject({
    namespaces: [{ namespace: "stores:23" }],
    nextPageToken: "",
  });
  expect(await raw.call(listNamespaces, { prefix: "s", pageToken: nextPageToken })).toMatchObject({
    reason: "INVALID_PAGE_TOKEN",
  });
  expect(await raw.call(listNamespaces, { limit: 1001 })).toMatchObject({
    reason: "INVALID_LIMIT",
  });
  raw.close();
});

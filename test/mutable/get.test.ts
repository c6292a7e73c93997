import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("gives null for a missing key", async () => {
  expect(await s.cortex.mutable.get("ns", "missing")).toBeNull();
});

it("counts the access, and moves neither updatedAt nor the revision", async () => {
  const written = await s.cortex.mutable.set("ns", "read", 1);
  for (let i = 0; i < 3; i++) await s.cortex.mutable.get("ns", "read");
  const record = await s.cortex.mutable.getRecord("ns", "read");
  expect(record).toMatchObject({
    accessCount: 3,
    updatedAt: written.updatedAt,
    revision: written.revision,
  });
  expect(record?.lastAccessed?.getTime()).toBeGreaterThanOrEqual(written.createdAt.getTime());
  await s.cortex.mutable.get("ns", "read");
  expect((await s.cortex.mutable.getRecord("ns", "read"))?.accessCount).toBe(4);
});

it("is alone in counting: getRecord, exists, list, count, getMany and update do not", async () => {
  await s.cortex.mutable.set("quiet", "k", 1);
  await s.cortex.mutable.getRecord("quiet", "k");
  await s.cortex.mutable.exists("quiet", "k");
  await s.cortex.mutable.list("quiet");
  await s.cortex.mutable.count("quiet");
  await s.cortex.mutable.getMany("quiet", ["k"]);
  await s.cortex.mutable.update("quiet", "k", (n) => n + 1);
  const record = await s.cortex.mutable.getRecord("quiet", "k");
  expect(record?.accessCount).toBe(0);
  expect(record?.lastAccessed).toBeUndefined();
});

it("counts from 0 again after the key is deleted and created", async () => {
  await s.cortex.mutable.set("lives", "k", 1);
  await s.cortex.mutable.get("lives", "k");
  await s.cortex.mutable.delete("lives", "k");
  await s.cortex.mutable.set("lives", "k", 2);
  expect((await s.cortex.mutable.getRecord("lives", "k"))?.accessCount).toBe(0);
  await s.cortex.mutable.get("lives", "k");
  expect((await s.cortex.mutable.getRecord("lives", "k"))?.accessCount).toBe(1);
});

it("leaves no statistics of a key that was deleted before they were written", async () => {
  await s.cortex.mutable.set("gone", "k", 1);
  await s.cortex.mutable.get("gone", "k");
  await s.cortex.mutable.delete("gone", "k");
  await s.cortex.mutable.list("gone"); // makes the server write pending statistics
  expect(await s.sql`select from mutable_access where namespace = 'gone'`).toHaveLength(0);
});

it("does not wait for a lock on the key; the access is counted later and not lost", async () => {
  await s.cortex.mutable.set("locked", "k", 1);
  await s.sql.begin(async (tx) => {
    await tx`select from mutable where namespace = 'locked' for update`;
    expect(await s.cortex.mutable.get("locked", "k")).toBe(1);
    expect((await s.cortex.mutable.getRecord("locked", "k"))?.accessCount).toBe(0);
  });
  expect((await s.cortex.mutable.getRecord("locked", "k"))?.accessCount).toBe(1);
});

it("counts what several servers read", async () => {
  const other = await s.another();
  const cortex = s.client({ address: other.address });
  await s.cortex.mutable.set("shared", "k", 1);
  await Promise.all(
    [1, 2, 3].flatMap(() => [
      s.cortex.mutable.get("shared", "k"),
      cortex.mutable.get("shared", "k"),
    ]),
  );
  await cortex.mutable.list("shared"); // a server writes its own counts before it lists
  expect((await s.cortex.mutable.list("shared")).records[0]?.accessCount).toBe(6);
});

it("loses no count at a clean stop", async () => {
  const other = await s.another();
  const cortex = s.client({ address: other.address });
  await s.cortex.mutable.set("stopped", "k", 1);
  await cortex.mutable.get("stopped", "k");
  await other.stop();
  expect((await s.cortex.mutable.getRecord("stopped", "k"))?.accessCount).toBe(1);
});

import { expect, it } from "vitest";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();

it("gives the current version with those before; null where there is no record", async () => {
  expect(await s.cortex.immutable.get("t", "none")).toBeNull();
  expect(await s.cortex.immutable.get("t", "none", { includeHistory: false })).toBeNull();
  const stored = [];
  for (const n of [1, 2, 3])
    stored.push(
      await s.cortex.immutable.store({ type: "t", id: "a", data: { n }, metadata: { n } }),
    );
  expect(await s.cortex.immutable.get("t", "a")).toEqual(stored[2]);
  expect(await s.cortex.immutable.get("t", "a", { includeHistory: false })).toEqual({
    ...stored[2],
    previousVersions: [],
    hasMoreVersions: true,
  });
  expect(await s.cortex.immutable.get("T", "a")).toBeNull();
});

it("gives the same record alone and in a batch with many others, large ones among them", async () => {
  const names = Array.from({ length: 60 }, (_, i) => `g${i}`);
  const stored = await Promise.all(
    names.map((id, i) =>
      s.cortex.immutable.store({
        type: "t",
        id,
        data: { i, text: "é".repeat(i % 10 === 0 ? 100_000 : 10) },
      }),
    ),
  );
  for (const includeHistory of [true, false])
    expect(
      await Promise.all(names.map((id) => s.cortex.immutable.get("t", id, { includeHistory }))),
    ).toEqual(stored);
});

it("refuses bad names and options", async () => {
  const get = (...args: unknown[]) => s.cortex.immutable.get(...(args as [string, string]));
  await expect(get("", "a")).toFailWith("INVALID_TYPE", { field: "type" });
  await expect(get("t", "")).toFailWith("INVALID_ID", { field: "id" });
  await expect(get("t", 5)).toFailWith("INVALID_ID");
  await expect(get("t", "a", { includeHistory: "yes" })).toFailWith("INVALID_OPTIONS");
  await expect(get("t", "a", { history: true })).toFailWith("INVALID_OPTIONS");
  const raw = new Raw(s.address);
  expect(await raw.call(ImmutableStore.method.get, {})).toMatchObject({ reason: "INVALID_TYPE" });
  raw.close();
});

import { expect, it } from "vitest";
import type { ScopeStep } from "../../client/index.js";
import { serve } from "../support/server.js";

const s = serve({ sweepSeconds: 0.2 });
const names = (scopes: ScopeStep[]) => scopes.map(({ key, identifier }) => `${key} ${identifier}`);

it("gives the scopes directly in one, in order, whatever is stored in them", async () => {
  const cortex = s.client({ tenantId: "kinds" });
  expect(await cortex.scopes()).toEqual({ scopes: [] });
  await cortex.mutable.set("ns", "k", 1); // in no scope
  const org = (id: string) => cortex.scope("organization", id);
  await org("d").mutable.set("ns", "k", 1);
  await org("c").immutable.store({ type: "note", id: "a", data: {} });
  await org("b").claims.acquire("leader", { ttlSeconds: 60 });
  await org("a").scope("workspace", "w").streams.append("jobs", 1);
  await org("a").scope("workspace", "w").mutable.set("ns", "k", 1);
  await org("a b").mutable.set("ns", "k", 1);
  await cortex.scope("actor", "x").mutable.set("ns", "k", 1);
  expect(names((await cortex.scopes()).scopes)).toEqual([
    "actor x",
    "organization a",
    "organization a b",
    "organization b",
    "organization c",
    "organization d",
  ]);
  expect(names((await org("a").scopes()).scopes)).toEqual(["workspace w"]);
  expect((await org("b").scopes()).scopes).toEqual([]);
  expect((await s.client({ tenantId: "other" }).scopes()).scopes).toEqual([]);
});

it("forgets a scope in which nothing is left", async () => {
  const scope = s.client({ tenantId: "emptied" }).scope("organization", "a");
  await scope.mutable.set("ns", "k", 1);
  await scope.mutable.set("ns", "gone", 1, { ttlSeconds: 1 });
  await scope.mutable.delete("ns", "k");
  await expect
    .poll(() => s.client({ tenantId: "emptied" }).scopes(), { timeout: 5000 })
    .toEqual({ scopes: [] });
});

it("pages go on after the last scope", async () => {
  const cortex = s.client({ tenantId: "pages" });
  const ids = ["a", "b", "c:d", "c", "\u{10ffff}"];
  for (const id of ids) await cortex.scope("o", id).scope("w", "1").mutable.set("ns", "k", 1);
  const found: string[] = [];
  let pageToken: string | undefined;
  do {
    const page = await cortex.scopes({ limit: 2, ...(pageToken && { pageToken }) });
    found.push(...names(page.scopes));
    ({ nextPageToken: pageToken } = page);
  } while (pageToken);
  expect(found).toEqual(["o a", "o b", "o c", "o c:d", "o \u{10ffff}"]);
  const { nextPageToken = "" } = await cortex.scopes({ limit: 2 });
  const elsewhere = cortex.scope("o", "a").scopes({ pageToken: nextPageToken });
  await expect(elsewhere).toFailWith("INVALID_PAGE_TOKEN");
  await expect(cortex.scopes({ pageToken: "x" })).toFailWith("INVALID_PAGE_TOKEN");
});

it("takes limits of 1 to 1000", async () => {
  await expect(s.cortex.scopes({ limit: 0 })).toFailWith("INVALID_LIMIT");
  await expect(s.cortex.scopes({ limit: 1001 })).toFailWith("INVALID_LIMIT");
  await expect(s.cortex.scopes({ limit: 1000 })).resolves.toEqual({ scopes: [] });
  await expect(s.cortex.scopes({ other: 1 } as never)).toFailWith("INVALID_OPTIONS");
});

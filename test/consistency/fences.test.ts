// A holder that was stopped for longer than its claim lasts, and writes afterwards: every kind of write is refused.
// And a claim cannot pass to anybody while a write that it guards is under way.
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Claim } from "../../client/index.js";
import { connect } from "../../server/postgres/connection.js";
import { seedGuarded, transactions, writes } from "../support/guarded-writes.js";
import { RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";
import { StoppedHolder } from "../support/stopped-holder.js";

const s = serve({ allowPurgeAll: true });
const rounds = Number(process.env.FENCE_ROUNDS ?? 1);

async function state() {
  const { mutable, immutable, streams } = s.cortex;
  return [
    await mutable.getMany("ns", ["k", "n", "b"]),
    (await immutable.get("t", "i"))?.version,
    (await immutable.getHistory("t", "i")).length,
    (await s.sql`select from change where store = 'event'`).length,
    (await streams.range("s")).entries,
    await streams.info("s"),
    (await streams.group("g", "c").pending("s")).entries,
  ];
}

describe("a late write", () => {
  it.each([...writes, ...transactions])("is refused by the fence: %s", async (what, write) => {
    const { claims } = s.cortex;
    await seedGuarded(s.cortex);
    for (let round = 0; round < rounds; round++) {
      const claim = (await claims.acquire("late", { ttlSeconds: 0.05 })) as Claim;
      await pause(60);
      const next = (await claims.acquire("late", { ttlSeconds: 60 })) as Claim;
      const before = await state();
      const isTransaction = transactions.some(([name]) => name === what);
      const error = await write(claim).then(
        () => "was done",
        (error) => error,
      );
      expect(error).toMatchObject(
        isTransaction
          ? { code: "TRANSACTION_FAILED", details: { reason: "FENCE_STALE", fence: claim.fence } }
          : { code: "FENCE_STALE", details: { claim: "late", fence: claim.fence } },
      );
      expect(error.details.operationIndex).toBeUndefined();
      expect(await state()).toEqual(before);
      await next.release();
    }
  });

  it.each([...writes, ...transactions])("is done while the claim is held: %s", async (_, write) => {
    const { claims } = s.cortex;
    await seedGuarded(s.cortex);
    const claim = (await claims.acquire("held", { ttlSeconds: 60 })) as Claim;
    await write(claim);
    await claim.release().catch(() => {}); // purgeAll ends claims too
  });
});

describe("a holder that is stopped (SIGSTOP) for longer than its claim lasts", () => {
  it("is refused by the fence when it goes on: every kind of write", async () => {
    const { claims } = s.cortex;
    await seedGuarded(s.cortex);
    const holder = await StoppedHolder.start(s.address);
    for (let round = 0; round < rounds; round++) {
      await holder.acquire("stopped", 0.3);
      holder.stop();
      const next = await claims.acquire("stopped", { ttlSeconds: 60, waitMs: 10_000 });
      const before = await state();
      const codes = await holder.goOn();
      expect(codes).toEqual(
        Object.fromEntries([
          ...writes.map(([what]) => [what, "FENCE_STALE"]),
          ...transactions.map(([what]) => [what, "TRANSACTION_FAILED FENCE_STALE"]),
        ]),
      );
      expect(await state()).toEqual(before);
      await next?.release();
    }
    holder.end();
  }, 600_000);
});

describe("a write in time", () => {
  it("keeps the claim from passing until it has ended", async () => {
    const { claims } = s.cortex;
    const claim = (await claims.acquire("busy", { ttlSeconds: 0.5 })) as Claim;
    const other = connect(s.databaseUrl, { max: 1 });
    await other.begin(async (tx) => {
      await tx`select from claim where name = 'busy' for share`; // as a guarded write does
      let isTaken = false;
      const next = claims.acquire("busy", { ttlSeconds: 60, waitMs: 10_000 }).then(() => {
        isTaken = true;
      });
      await pause(1000);
      expect(isTaken).toBe(false);
      next.catch(() => {});
    });
    await expect.poll(() => claims.get("busy")).not.toBeNull();
    await expect(claim.mutable.set("ns", "k", 1)).rejects.toMatchObject({ code: "FENCE_STALE" });
    await other.end();
  });

  it("is refused for itself, not for others in its batch; a repeat gets its reply", async () => {
    const { claims, mutable } = s.cortex;
    const claim = (await claims.acquire("batch", { ttlSeconds: 60 })) as Claim;
    const requestId = "guarded";
    const first = await mutable.set("ns", "once", 1, { claim, requestId });
    await claim.release();
    expect(await mutable.set("ns", "once", 1, { claim, requestId })).toEqual(first);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => mutable.set("ns", `b${i}`, i, i % 2 ? { claim } : {})),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? "rejected" : "fulfilled")),
    );
  });

  it("in Transact: a commit that is repeated gets its reply before the fence is looked at", async () => {
    const claim = (await s.cortex.claims.acquire("transact", { ttlSeconds: 60 })) as Claim;
    const { name, fence } = claim;
    const commit = async () => {
      const transaction = new RawTransaction(s.address);
      await transaction.ask({ case: "begin", value: {} });
      const operation = { case: "increment" as const, value: {} };
      const step = { namespace: "ns", key: "transact", operation, createIfMissing: true };
      await transaction.ask({ case: "write", value: { operations: [step] } });
      const request = { requestId: "again", claim: { name, fence } };
      const answer = await transaction.ask({ case: "commit", value: request });
      transaction.close();
      return answer.case;
    };
    expect(await commit()).toBe("committed");
    await claim.release();
    expect(await commit()).toBe("committed");
    expect(await s.cortex.mutable.get("ns", "transact")).toBe(1);
  });

  it("is refused if the guard is none, or the call takes none", async () => {
    const { mutable, users } = s.cortex;
    const refused = (code: string, claim: unknown) =>
      expect(mutable.set("ns", "k", 1, { claim } as never)).rejects.toMatchObject({ code });
    await refused("INVALID_CLAIM", { name: "a" });
    await refused("INVALID_CLAIM", { name: "", fence: "1" });
    await refused("INVALID_CLAIM", { name: "a", fence: "-1" });
    await refused("INVALID_OPTIONS", "a");
    await expect(
      users.upsert("u", {}, { claim: { name: "a", fence: "1" } } as never),
    ).rejects.toMatchObject({ code: "INVALID_OPTIONS" });
  });
});

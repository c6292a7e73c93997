import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Claim, ClaimRecord } from "../../client/index.js";
import { Claims } from "../../gen/cortex/claims/v1/claims_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const ttl = { ttlSeconds: 60 };
const one = (options = {}) => s.client({ agentId: "agent-1", ...options }).claims;

/** Waits until so many wait for a claim. */
const waiting = (name: string, count: number) =>
  expect
    .poll(async () => (await s.sql`select from claim_waiter where name = ${name}`).length, {
      timeout: 10_000,
    })
    .toBe(count);

describe("a claim", () => {
  it("is held by one, with a fence that grows", async () => {
    const claims = one();
    const first = (await claims.acquire("a", { ...ttl, value: { n: 1 } })) as Claim;
    expect(first).toMatchObject({ name: "a", owner: "agent-1", value: { n: 1 } });
    expect(first.expiresAt.getTime()).toBeGreaterThan(Date.now() + 50_000);
    expect(await claims.acquire("a", ttl)).toBeNull(); // held is held, also for the same owner
    expect(await s.cortex.claims.once("a", "x", ttl)).toBe(false);
    await first.release();
    const second = (await claims.acquire("a", ttl)) as Claim;
    expect(BigInt(second.fence)).toBeGreaterThan(BigInt(first.fence));
    expect(await claims.once("b", "x", ttl)).toBe(true);
    expect(await s.client({ tenantId: "other" }).claims.once("a", "x", ttl)).toBe(true);
  });

  it("ends by the database's clock", async () => {
    const claims = one();
    const first = (await claims.acquire("short", { ttlSeconds: 0.3 })) as Claim;
    await pause(320);
    expect(await claims.get("short")).toBeNull();
    const second = (await claims.acquire("short", ttl)) as Claim;
    expect(BigInt(second.fence)).toBeGreaterThan(BigInt(first.fence));
    expect(first.signal.aborted).toBe(false);
    await expect(first.renew(ttl)).rejects.toMatchObject({ code: "CLAIM_NOT_HELD" });
    expect(first.signal.aborted).toBe(true);
    await expect(first.release()).rejects.toMatchObject({ code: "CLAIM_NOT_HELD" });
  });

  it("has as owner what is given, else the agent, else a name of the client", async () => {
    const owner = async (client: ReturnType<typeof one>, name: string, options = {}) =>
      ((await client.acquire(name, { ...ttl, ...options })) as Claim).owner;
    expect(await owner(one(), "o1", { owner: "me" })).toBe("me");
    expect(await owner(one(), "o2")).toBe("agent-1");
    expect(await owner(s.cortex.claims, "o3")).toMatch(/^client-[0-9a-f-]{36}$/);
  });

  it("of a user is refused without the user, and erased with the user", async () => {
    const { claims, users } = s.cortex;
    await expect(claims.acquire("u", { ...ttl, userId: "nobody" })).rejects.toMatchObject({
      code: "USER_NOT_FOUND",
    });
    await users.create("owner");
    await claims.acquire("u", { ...ttl, userId: "owner" });
    await expect(users.delete("owner")).rejects.toMatchObject({ code: "USER_HAS_DATA" });
    const { counts } = await users.delete("owner", { cascade: true });
    expect(counts.claim).toBe(1);
    expect(await claims.get("u")).toBeNull();
  });

  it("that cannot be is refused", async () => {
    const { claims } = s.cortex;
    const refused = (code: string, name: string, options: object) =>
      expect(claims.acquire(name, { ...ttl, ...options } as never)).rejects.toMatchObject({ code });
    await refused("INVALID_CLAIM", "", {});
    await refused("INVALID_CLAIM", "x".repeat(513), {});
    await refused("INVALID_CLAIM", "a\0", {});
    await refused("INVALID_CLAIM", "a", { owner: "" });
    await refused("INVALID_CLAIM", "a", { owner: "x".repeat(257) });
    await refused("INVALID_TTL", "a", { ttlSeconds: 0 });
    await refused("INVALID_TTL", "a", { ttlSeconds: undefined });
    await refused("INVALID_OPTIONS", "a", { waitMs: 3_600_001 });
    await refused("INVALID_OPTIONS", "a", { waitMs: -1 });
    await refused("INVALID_OPTIONS", "a", { ttl: 1 });
    await refused("INVALID_VALUE", "a", { value: () => 1 });
    await refused("VALUE_TOO_LARGE", "a", { value: "x".repeat(64 * 1024) });
    expect(await claims.once("max", "x".repeat(64 * 1024 - 2), ttl)).toBe(true);
    const raw = new Raw(s.address);
    expect(await raw.call(Claims.method.acquire, { name: "a", ttlSeconds: 1 })).toMatchObject({
      reason: "INVALID_CLAIM",
      details: { field: "owner" },
    });
    raw.close();
  });
});

describe("a repeat under the request id", () => {
  it("gets the claim while it is held, and never an old fence", async () => {
    const { claims } = s.cortex;
    const options = { ...ttl, requestId: "r1" };
    const first = (await claims.acquire("again", options)) as Claim;
    expect(await claims.acquire("again", options)).toMatchObject({ fence: first.fence });
    await first.release({ requestId: "r2" });
    await first.release({ requestId: "r2" }); // a repeat
    await expect(claims.acquire("again", options)).rejects.toMatchObject({
      code: "CLAIM_NOT_HELD",
    });
    await expect(claims.acquire("else", options)).rejects.toMatchObject({
      code: "REQUEST_ID_REUSED",
    });
    // One that was not acquired has left its id free.
    await claims.acquire("free", ttl);
    expect(await claims.acquire("free", { ...ttl, requestId: "r3" })).toBeNull();
    const [held] = (await claims.list({ prefix: "free" })).claims;
    await claims.release(held as ClaimRecord);
    expect(await claims.acquire("free", { ...ttl, requestId: "r3" })).not.toBeNull();
  });
});

describe("who waits", () => {
  it("gets the claim as soon as it is released or over, in the order of arrival, on all servers", async () => {
    const second = await s.another();
    const clients = [s.cortex, s.client({ address: second.address })];
    const first = (await s.cortex.claims.acquire("queue", ttl)) as Claim;
    const order: number[] = [];
    const waiters = [];
    for (let i = 0; i < 6; i++) {
      const { claims } = clients[i % 2] as typeof s.cortex;
      waiters.push(
        claims
          .acquire("queue", { ttlSeconds: i === 2 ? 0.3 : 60, waitMs: 30_000 })
          .then(async (claim) => {
            order.push(i);
            if (i !== 2) await claim?.release(); // the third lets its time pass
          }),
      );
      await waiting("queue", i + 1);
    }
    expect(await s.cortex.claims.acquire("queue", ttl)).toBeNull();
    await first.release();
    await Promise.all(waiters);
    expect(order).toEqual([0, 1, 2, 3, 4, 5]);
  }, 60_000);

  it("is not passed while it waits, and gives up when its wait is over", async () => {
    const { claims } = s.cortex;
    const first = (await claims.acquire("turn", ttl)) as Claim;
    const startedAt = performance.now();
    expect(await claims.acquire("turn", { ...ttl, waitMs: 300 })).toBeNull();
    expect(performance.now() - startedAt).toBeGreaterThan(290);
    await first.release();
    expect(await claims.acquire("turn", ttl)).not.toBeNull(); // nobody waits any more
  });

  it("has its place too while somebody still writes under a claim that is over", async () => {
    await s.cortex.claims.acquire("written", { ttlSeconds: 0.05 });
    await pause(60);
    const order: number[] = [];
    const acquire = async (n: number) => {
      const claim = await s.cortex.claims.acquire("written", { ...ttl, waitMs: 20_000 });
      order.push(n);
      await claim?.release();
    };
    const waiters: Promise<void>[] = [];
    await s.sql.begin(async (tx) => {
      await tx`select from claim where name = 'written' for share`; // as a guarded write does
      for (let n = 1; n <= 4; n++) {
        waiters.push(acquire(n));
        await waiting("written", n);
      }
      expect(await s.cortex.claims.acquire("written", ttl)).toBeNull();
    });
    await Promise.all(waiters);
    expect(order).toEqual([1, 2, 3, 4]);
  });

  it("makes attempts in the order of the places in the database, which may differ from that in memory", async () => {
    const held = (await s.cortex.claims.acquire("swapped", ttl)) as Claim;
    const order: number[] = [];
    const wait = async (n: number) => {
      const claim = await s.cortex.claims.acquire("swapped", { ...ttl, waitMs: 20_000 });
      order.push(n);
      await claim?.release();
    };
    const first = wait(1);
    await waiting("swapped", 1);
    const second = wait(2);
    await waiting("swapped", 2);
    await s.sql`update claim_waiter set number = nextval('claim_waiter_number')
      where name = 'swapped' and number = (select min(number) from claim_waiter where name = 'swapped')`;
    await held.release();
    await Promise.all([first, second]);
    expect(order).toEqual([2, 1]);
  });

  it("and is gone is passed over within about 2 seconds, also if many are gone", async () => {
    const { claims } = s.cortex;
    const first = (await claims.acquire("gone", ttl)) as Claim;
    const gone = new AbortController();
    const options = { ...ttl, waitMs: 30_000, signal: gone.signal };
    for (let i = 0; i < 5; i++) claims.acquire("gone", options).catch(() => {});
    const last = claims.acquire("gone", options);
    last.catch(() => {});
    await waiting("gone", 6);
    const next = claims.acquire("gone", { ...ttl, waitMs: 30_000 });
    await waiting("gone", 7);
    gone.abort();
    await first.release();
    const startedAt = performance.now();
    expect(await next).not.toBeNull();
    expect(performance.now() - startedAt).toBeLessThan(4000);
    await expect(last).rejects.toMatchObject({ code: "CANCELLED" });
  });

  it("goes on elsewhere when its server stops, and keeps its place", async () => {
    const { running, address } = await s.another().then((one) => ({ running: one, ...one }));
    const moving = s.client({ address, timeoutMs: 20_000 });
    const first = (await s.cortex.claims.acquire("move", ttl)) as Claim;
    const before = moving.claims.acquire("move", { ...ttl, waitMs: 30_000 });
    await waiting("move", 1);
    const behind = s.cortex.claims.acquire("move", { ...ttl, waitMs: 30_000 });
    await waiting("move", 2);
    await running.stop();
    await s.another({ listen: address });
    await pause(300);
    await first.release();
    const claim = await before;
    expect(claim).not.toBeNull();
    expect(BigInt(claim?.fence ?? 0)).toBeGreaterThan(BigInt(first.fence));
    await claim?.release();
    expect(await behind).not.toBeNull();
  }, 60_000);
});

describe("with", () => {
  it("renews while the function runs, and releases at the end", async () => {
    const { claims } = s.cortex;
    const result = await claims.with("w1", { ttlSeconds: 1.5 }, async (claim) => {
      await pause(4500);
      expect(claim.signal.aborted).toBe(false);
      expect(await claims.once("w1", 1, ttl)).toBe(false);
      return 7;
    });
    expect(result).toBe(7);
    expect(await claims.get("w1")).toBeNull();
    await expect(
      claims.with("w1", ttl, () => {
        throw new Error("mine");
      }),
    ).rejects.toThrow("mine");
    expect(await claims.get("w1")).toBeNull();
    await claims.acquire("w2", ttl);
    expect(await claims.with("w2", ttl, () => 1)).toBeNull();
  });

  it("holds a claim that it has waited for longer than the claim lasts", async () => {
    const { claims } = s.cortex;
    const first = (await claims.acquire("w4", ttl)) as Claim;
    const waited = claims.with("w4", { ttlSeconds: 1.5, waitMs: 30_000 }, async (claim) => {
      await pause(4500);
      return claim.signal.aborted;
    });
    await pause(2500);
    await first.release();
    expect(await waited).toBe(false);
  });

  it("tells the function by its signal that the claim is lost", async () => {
    const { claims } = s.cortex;
    await claims.with("w3", { ttlSeconds: 0.6 }, async (claim) => {
      await s.sql`delete from claim where name = 'w3'`;
      await new Promise((resolve) => claim.signal.addEventListener("abort", resolve));
      expect(claim.signal.reason).toMatchObject({ code: "CLAIM_NOT_HELD" });
    });
  });

  it("releases when its client closes, and nothing else", async () => {
    const client = s.client();
    await client.claims.acquire("stays", ttl);
    let begun = () => {};
    const began = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const working = client.claims.with("goes", ttl, async () => {
      begun();
      await pause(1000);
    });
    await began;
    await client.close();
    expect(await s.cortex.claims.get("goes")).toBeNull();
    expect(await s.cortex.claims.get("stays")).not.toBeNull();
    await working;
  });
});

// Agents on three servers contend for one claim: never two hold it by the database's clock, and those who wait get
// it in the order in which they came. When the server of the holder is killed, the next one gets it soon after its time.
import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { type Claim, Cortex } from "../../client/index.js";
import { spawnServer } from "../support/process.js";
import { serve } from "../support/server.js";

const rounds = Number(process.env.CLAIM_ROUNDS ?? 2);
const agents = 50;
const s = serve();

it(`${agents} agents acquire it ${rounds} times each: one after the other, in order`, async () => {
  // The test's own record: who held it when, and in which order the places of waiters were given up.
  await s.sql`create table holding (fence bigint, since timestamptz default clock_timestamp(), until timestamptz)`;
  await s.sql`create table served (n bigserial, number bigint)`;
  await s.sql`create function note_served() returns trigger language plpgsql as $$
    begin insert into public.served (number) values (old.number); return null; end $$`;
  await s.sql`create trigger served after delete on claim_waiter for each row execute function note_served()`;
  const servers = [s.address, (await s.another()).address, (await s.another()).address];
  const clients = servers.map((address) => s.client({ address, timeoutMs: 60_000 }));
  const held = Array(agents).fill(0);
  await Promise.all(
    held.map(async (_, agent) => {
      const { claims } = clients[agent % clients.length] as Cortex;
      while (held[agent] < rounds) {
        // Some do not release it, but let its time pass.
        const forgets = Math.random() < 0.05;
        const ttlSeconds = forgets ? 0.1 : 60;
        const claim = (await claims.acquire("one", { ttlSeconds, waitMs: 600_000 })) as Claim;
        held[agent]++;
        await s.sql`insert into holding (fence) values (${claim.fence})`;
        if (!forgets)
          await s.sql`update holding set until = clock_timestamp() where fence = ${claim.fence}`;
        else
          await s.sql`update holding set until = least(clock_timestamp(), ${claim.expiresAt}) where fence = ${claim.fence}`;
        if (!forgets) await claim.release();
      }
    }),
  );
  const holding = await s.sql<{ since: Date; until: Date; overlaps: boolean }[]>`
    select coalesce(since < lag(until) over (order by fence), false) as overlaps from holding order by fence`;
  expect(holding).toHaveLength(agents * rounds);
  expect(holding.filter(({ overlaps }) => overlaps)).toHaveLength(0);
  const numbers = (await s.sql<{ number: string }[]>`select number from served order by n`).map(
    ({ number }) => Number(number),
  );
  expect(numbers.length).toBeGreaterThan((agents * rounds) / 2);
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
}, 1_200_000);

it("passes within its ttl and a second when the server of its holder is killed", async () => {
  const server = await spawnServer(["--database-url", s.databaseUrl]);
  const holder = new Cortex({ address: server.address });
  const ttlSeconds = 2;
  await holder.claims.acquire("killed", { ttlSeconds });
  const startedAt = performance.now();
  const next = s.cortex.claims.acquire("killed", { ttlSeconds, waitMs: 20_000 });
  await pause(100);
  server.child.kill("SIGKILL");
  expect(await next).not.toBeNull();
  expect(performance.now() - startedAt).toBeLessThan(ttlSeconds * 1000 + 1000);
  await holder.close();
  await server.end();
});

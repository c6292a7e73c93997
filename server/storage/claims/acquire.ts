// Acquires a claim: by attempts, each one statement (acquire_claim, migration 0021). A waiter holds no connection. It
// tries again when the claim is released or its time is over, and at least every second.
import { randomUUID } from "node:crypto";
import { CortexError } from "../../errors/reasons.js";
import { codeOf } from "../../errors/sqlstate.js";
import type { Call } from "../../grpc/call.js";
import type { Run } from "../../postgres/connection.js";
import type { Place, Turn } from "../../runtime/turns.js";
import { lockRequest } from "../creation.js";
import { findStoredReply, type IdempotencyKey, idempotencyKey } from "../idempotency.js";
import { type ClaimRow, claimLockName, columns, isHeld } from "./claim.js";

export interface Acquisition {
  name: string;
  owner: string;
  value: string | undefined;
  userId: string | undefined;
  ttlSeconds: number;
  /** How long to wait; 0: not at all. */
  waitSeconds: number;
  requestId: string | undefined;
}

interface Attempt {
  outcome: "acquired" | "waits" | "repeated" | "locked" | "no user" | "user locked";
  fence: string;
  acquired_at: Date;
  expires_at: Date;
  wait_ms: number | null;
  /** Its number in the queue; null unless it waits. */
  place: number | null;
}

type ClaimPlace = Required<Place>;

const lookAgainMs = 1000; // a wake-up may have been lost
const lockedMs = 20;
const lockedMsMax = 1000; // how long after the wait it tries a locked claim; then it takes it for held

/** The claim; undefined if the wait was over before its turn came. */
export async function acquireClaim(call: Call, asked: Acquisition): Promise<ClaimRow | undefined> {
  const { caller, server, signal } = call;
  const { name, owner, value, userId, ttlSeconds, waitSeconds, requestId } = asked;
  const { tenant } = caller;
  const content = [name, owner, value, userId, ttlSeconds];
  const key = idempotencyKey(requestId, "Claims/Acquire", content);
  const place = { tenant, name, id: key?.id ?? randomUUID() };
  const endsAt = performance.now() + waitSeconds * 1000;
  const leftMs = () => endsAt - performance.now();
  let turn: Turn | undefined;
  const giveUp = async () => {
    if (turn) await leave(call, place);
    return undefined;
  };
  const adds = { keys: 1, bytes: Buffer.byteLength(value ?? ""), versions: 0, pending: 0 };
  const wakeUps = server.bus.listen(claimLockName(tenant, name));
  try {
    for (;;) {
      const stays = leftMs() > 0;
      const tried = await server.quotas.within(tenant, adds, () =>
        attempt(call, asked, key, { place, stays }),
      );
      switch (tried.outcome) {
        case "acquired": {
          const { fence, acquired_at, expires_at } = tried;
          const [user_id, agent_id] = [userId ?? null, caller.agent ?? null];
          const times = { acquired_at, expires_at };
          return { name, owner, value: value ?? null, user_id, agent_id, fence, ...times };
        }
        case "repeated":
          return await repeated(call, name, key);
        case "no user":
          throw new CortexError("USER_NOT_FOUND", { user_id: userId ?? "" });
        case "locked":
        case "user locked":
          if (tried.outcome === "locked" && leftMs() < -lockedMsMax) return await giveUp();
          await wakeUps.next(lockedMs * (0.5 + Math.random()), signal);
          break;
        case "waits":
          if (!stays) return await giveUp();
          turn ??= await enter(call, place, tried.place ?? 0);
          turn.move(tried.place ?? 0);
          await turn.first(leftMs(), signal);
          await wakeUps.next(
            Math.max(1, Math.min(tried.wait_ms ?? lookAgainMs, lookAgainMs, leftMs())),
            signal,
          );
          await call.reauthenticate(); // it may have waited for long
      }
    }
  } finally {
    wakeUps.stop();
    turn?.leave();
  }
}

async function attempt(
  { caller, db }: Call,
  { name, owner, value, userId, ttlSeconds }: Acquisition,
  key: IdempotencyKey | undefined,
  { place, stays }: { place: ClaimPlace; stays: boolean },
): Promise<Attempt> {
  const { tenant } = caller;
  const userIds = userId === undefined ? [] : [userId];
  try {
    const [row] = await db.short<Attempt>((sql) => {
      const id = { tenant: sql`${tenant}::text`, id: sql`${key?.id ?? ""}::text` };
      return sql`
        with attempt as materialized (
          select * from acquire_claim(${tenant}, ${name}, ${owner}, ${value ?? null}::text::json, ${userId ?? null}, ${caller.agent ?? null},
            ${ttlSeconds}::float8, ${key?.id ?? null}, ${place.id}, ${stays})
        )
        ${
          key
            ? sql`, stored_reply as (
                insert into request (tenant, id, fingerprint, reply, user_ids, bytes)
                select ${tenant}, ${key.id}, seal(${key.fingerprint}), json_build_object('fence', fence::text), ${userIds}::text[], 32
                from attempt where outcome = 'acquired' and not ${lockRequest(sql, id, "wait")})`
            : sql``
        }
        select outcome, fence, acquired_at, expires_at, wait_ms,
          case outcome when 'waits' then claim_place(${tenant}, ${name}, ${place.id})::float8 end as place
        from attempt`;
    });
    return row as Attempt;
  } catch (error) {
    if (codeOf(error) !== "23505") throw error; // unique_violation: another attempt of this request was faster
    return { outcome: "repeated" } as Attempt;
  }
}

/** The claim that an earlier attempt of the request has acquired, while it is held. */
async function repeated(
  { caller: { tenant }, db }: Call,
  name: string,
  key: IdempotencyKey | undefined,
): Promise<ClaimRow> {
  const reply = key && (await findStoredReply(db.short, tenant, key));
  const { fence } = JSON.parse(reply ?? "{}") as { fence: string };
  const [claim] = await db.short<ClaimRow>(
    (sql) =>
      sql`select ${columns(sql)} from claim c where ${isHeld(sql, tenant, name)} and c.fence = ${fence}`,
  );
  if (!claim) throw new CortexError("CLAIM_NOT_HELD", { claim: name, fence });
  return claim;
}

/** Takes a turn for the place that the attempt took in the database. */
async function enter(call: Call, place: ClaimPlace, number: number): Promise<Turn> {
  try {
    return call.server.claimTurns.enter(place, number);
  } catch (error) {
    await leave(call, place);
    throw error;
  }
}

/** Gives up the place, and wakes those behind it. */
async function leave({ db, server }: Call, { tenant, name, id }: ClaimPlace): Promise<void> {
  await db.short(
    (sql) =>
      sql`delete from claim_waiter w where w.tenant = ${tenant} and w.name = ${name} and w.id = ${id}`,
  );
  server.bus.publish([claimLockName(tenant, name)]);
}

/** Says that these are still waiting. Without it they are passed over after 2 seconds. */
export async function keepPlaces(run: Run, places: Place[]): Promise<void> {
  if (places.length === 0) return;
  await run(
    (sql) => sql`
      update claim_waiter w set seen_at = clock_timestamp()
      from unnest(
        ${places.map(({ tenant }) => tenant)}::text[], ${places.map(({ name }) => name)}::text[], ${places.map(({ id = "" }) => id)}::text[]
      ) as mine (tenant, name, id)
      where w.tenant = mine.tenant and w.name = mine.name and w.id = mine.id`,
  );
}

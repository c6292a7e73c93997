// Reads for a consumer of a group, by attempts (deliver.ts). A call that waits for entries holds no connection. Of the
// calls that wait for a group on this server, only the first makes attempts: when the stream is appended to, when a
// pending entry comes back, and when `readyStreams` finds something that the bus has lost.
import type { Call } from "../../grpc/call.js";
import type { Run } from "../../postgres/connection.js";
import { quotaExceeded } from "../../runtime/quotas.js";
import type { Place } from "../../runtime/turns.js";
import type { Guard } from "../guard.js";
import type { IdempotencyKey } from "../idempotency.js";
import { writeOnce } from "../write-path.js";
import { deliverWrites } from "./deliver.js";
import { type Delivered, deliverWrite } from "./delivery.js";
import type { Group } from "./group.js";
import { streamLockName } from "./stream.js";

export interface ReadOptions {
  count: number;
  blockMs: number;
  key: IdempotencyKey | undefined;
  guard: Guard | undefined;
}

const soonestMs = 10; // an entry that has come back may be locked for a moment
const fullMsMax = 1000; // for so long, what others have reserved may be given back

export async function readGroup(
  call: Call,
  reader: Group & { consumer: string },
  { count, blockMs, key, guard }: ReadOptions,
): Promise<Delivered> {
  const { server, signal } = call;
  const { tenant, stream, group } = reader;
  const write = deliverWrite(reader, { count }, { key, guard });
  const startedAt = performance.now();
  const leftMs = () => startedAt + blockMs - performance.now();
  const turn =
    blockMs > 0 ? server.readerTurns.enter({ tenant, name: `${stream}\0${group}` }) : undefined;
  const wakeUps = server.bus.listen(streamLockName(tenant, stream));
  try {
    let fullMs = soonestMs;
    for (let hasWaited = false; ; hasWaited = true) {
      if (await turn?.first(leftMs(), signal)) hasWaited = true;
      if (hasWaited) await call.reauthenticate();
      const delivered = await writeOnce(call, deliverWrites, write);
      if (delivered.rows.length > 0) return delivered;
      if (delivered.isFull && performance.now() - startedAt > fullMsMax) throw tooManyPending(call);
      if (!delivered.isFull && leftMs() <= 0) return delivered;
      const dueMs = Math.max(delivered.waitMs ?? Number.POSITIVE_INFINITY, soonestMs);
      const waitMs = delivered.isFull ? fullMs : Math.max(1, Math.min(dueMs, leftMs()));
      if (delivered.isFull) fullMs *= 2;
      await wakeUps.next(waitMs, signal);
    }
  } finally {
    wakeUps.stop();
    turn?.leave();
  }
}

function tooManyPending({ server: { config } }: Call) {
  const limits = { keys: 0, bytes: 0, versions: 0, pending: config.quotaPending };
  return quotaExceeded("pending", { ...limits, pending: 0, limits });
}

/**
 * Finds the groups that are waited for and have something to deliver, or are gone. Gives the names of their streams on
 * the bus.
 */
export async function readyStreams(run: Run, places: Place[]): Promise<string[]> {
  if (places.length === 0) return [];
  const asked = places.map(({ tenant, name }) => {
    const [stream = "", group = ""] = name.split("\0");
    return { tenant, stream, group };
  });
  const rows = await run<{ tenant: string; stream: string }>(
    (sql) => sql`
      select asked.tenant, asked.stream
      from unnest(
        ${asked.map(({ tenant }) => tenant)}::text[], ${asked.map(({ stream }) => stream)}::text[], ${asked.map(({ group }) => group)}::text[]
      ) as asked (tenant, stream, consumer_group)
      left join lateral (
        select s.id, s.last_ms, s.last_seq from stream s where s.tenant = asked.tenant and s.name = asked.stream offset 0
      ) as s on true
      left join lateral (
        select g.id, g.after_ms, g.after_seq from stream_group g where g.stream_id = s.id and g.name = asked.consumer_group offset 0
      ) as g on true
      where g.id is null or (s.last_ms, s.last_seq) > (g.after_ms, g.after_seq)
        or exists (
          select from stream_pending p where p.group_id = g.id and p.dead_at is null and p.visible_at <= clock_timestamp())`,
  );
  return rows.map(({ tenant, stream }) => streamLockName(tenant, stream));
}

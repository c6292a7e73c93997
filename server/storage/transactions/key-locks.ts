// How a transaction locks keys: the row of each that exists, and the name of each that does not.
import { CortexError } from "../../errors/reasons.js";
import type { Run } from "../../postgres/connection.js";
import { lockName } from "../creation.js";
import type { EntryKey } from "../entries/entry.js";
import { type EntryFilter, matches } from "../entries/filter.js";

/** Locks the rows of keys. Gives the keys that are absent, and locks their names if asked to. */
export async function lockKeys(
  run: Run,
  keys: EntryKey[],
  locksNames: boolean,
): Promise<EntryKey[]> {
  const rows = await run<{ number: string; absent: boolean }>((sql) => {
    const name = {
      tenant: sql`asked.tenant`,
      space: sql`asked.namespace`,
      name: sql`asked.key`,
    };
    return sql`
      select asked.number, found.absent,
        case when found.absent then ${locksNames ? lockName(sql, "entry", name) : sql`null`} end as locked
      from unnest(
        ${keys.map((k) => k.tenant)}::text[], ${keys.map((k) => k.namespace)}::text[], ${keys.map((k) => k.key)}::text[]
      ) with ordinality as asked (tenant, namespace, key, number)
      left join lateral (
        select m.revision, m.expire_at from mutable m where m.tenant = asked.tenant and m.namespace = asked.namespace and m.key = asked.key
        for no key update
      ) as held on true
      cross join lateral ( -- evaluated once the row is locked
        select held.revision is null or coalesce(held.expire_at <= clock_timestamp(), false) as absent offset 0
      ) as found`;
  });
  return rows.flatMap(({ number, absent }) =>
    absent ? [keys[Number(number) - 1] as EntryKey] : [],
  );
}

/** Locks the rows of the entries that match. Gives them, with their bytes. Throws if there are more than `limit`. */
export async function lockMatching(
  run: Run,
  filter: EntryFilter,
  limit: number,
): Promise<(EntryKey & { bytes: number })[]> {
  const found = await run<EntryKey & { bytes: number }>(
    (sql) => sql`
      select m.tenant, m.namespace, m.key, m.bytes + octet_length(m.metadata::text) as bytes
      from mutable m where ${matches(sql, filter)}
      order by m.key limit ${limit + 1} for no key update`,
  );
  if (found.length > limit)
    throw new CortexError("REPLY_TOO_LARGE", { limit: `${limit} records`, got: "more" });
  return found;
}

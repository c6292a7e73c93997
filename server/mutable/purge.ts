// What the purges do: one statement, so that all of it is deleted or none.

import type { Call } from "../call.js";
import type { Fragment, Sql } from "../connection.js";
import { once, requestKey, type Work } from "../request.js";
import { type Matching, matches } from "./filter.js";

const keysShownMax = 1000;

interface Purged {
  deleted: number;
  keys: string[];
}

/** Deletes what matches, or says what it would delete. */
export async function purge(
  { tenant, purges }: Call,
  rpc: string,
  matching: Matching,
  { requestId, dryRun }: { requestId?: string | undefined; dryRun: boolean },
) {
  const request = requestKey(requestId, rpc, [matching, dryRun]);
  const purged = await once<Purged>(purges, tenant, request, (sql) =>
    purging(sql, (sql) => matches(sql, matching), dryRun),
  );
  return { deleted: BigInt(purged?.deleted ?? 0), keys: purged?.keys ?? [], dryRun };
}

export const purging = (sql: Sql, which: (sql: Sql) => Fragment, dryRun: boolean): Work => ({
  steps: sql`gone as materialized (
    ${dryRun ? sql`select m.key` : sql`delete`} from mutable m where ${which(sql)}
    ${dryRun ? sql`` : sql`returning m.key`})`,
  reply: sql`
    select '{}'::text[] as user_ids, json_build_object(
      'deleted', count(*), 'keys', array(select key from gone order by key limit ${keysShownMax})) as reply
    from gone`,
});

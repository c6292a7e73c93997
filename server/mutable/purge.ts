// What PurgeNamespace and PurgeMany do: one statement, so that all of it is deleted or none.
import type { Run } from "../database.js";
import { type Matching, matches } from "./filter.js";

const keysShownMax = 1000;

export async function purge(run: Run, matching: Matching, dryRun: boolean) {
  const [row] = await run<{ deleted: string; keys: string[] }>(
    (sql) => sql`
      with gone as materialized (
        ${dryRun ? sql`select m.key` : sql`delete`} from mutable m where ${matches(sql, matching)}
        ${dryRun ? sql`` : sql`returning m.key`}
      )
      select count(*) as deleted, array(select key from gone order by key limit ${keysShownMax}) as keys from gone`,
  );
  return { deleted: BigInt(row?.deleted ?? 0), keys: row?.keys ?? [], dryRun };
}

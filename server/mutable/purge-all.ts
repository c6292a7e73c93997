import type { PurgeAllRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors.js";
import type { Call } from "../rpc.js";
import { live } from "./entry.js";

export async function purgeAll({ dryRun }: PurgeAllRequest, { tenant, bulk, config }: Call) {
  if (!config.allowPurgeAll) throw new CortexError("PURGE_ALL_DISABLED");
  const [row] = await bulk<{ deleted: string }>(
    (sql) => sql`
      with gone as (
        ${dryRun ? sql`select 1` : sql`delete`} from mutable m where m.tenant = ${tenant} and ${live(sql)}
        ${dryRun ? sql`` : sql`returning 1`}
      )
      select count(*) as deleted from gone`,
  );
  return { deleted: BigInt(row?.deleted ?? 0), dryRun };
}

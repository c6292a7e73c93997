import type { PurgeAllRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { live } from "../storage/entries/entry.js";
import { purgeEntries } from "../storage/entries/purge.js";
import { removeStreams } from "../storage/streams/remove.js";

export async function purgeAll(request: PurgeAllRequest, call: Call) {
  const { tenant } = call.caller;
  if (call.caller.scope !== "")
    throw new CortexError("INVALID_SCOPE", {
      field: "scope",
      problem: "is not for PurgeAll, which purges the tenant: use cortex.scopes.v1.Scopes.Purge",
    });
  if (!call.server.config.allowPurgeAll) throw new CortexError("PURGE_ALL_DISABLED");
  const { keys, ...purged } = await purgeEntries(call, {
    rpc: "PurgeAll",
    fields: request,
    identity: request.dryRun,
    asked: {},
    async also(run) {
      await run((sql) => sql`delete from claim c where c.tenant = ${tenant}`);
      await removeStreams(run, (sql) => sql`s.tenant = ${tenant}`);
    },
    selection: {
      matches: (sql) => sql`m.tenant = ${tenant} and ${live(sql)}`,
      within: (sql) => sql`m.tenant = ${tenant}`,
      allNamespaces: true,
    },
  });
  return purged;
}

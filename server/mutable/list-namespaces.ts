import type { ListNamespacesRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { live } from "../storage/entries/entry.js";
import { afterPrefix, pageToken, positionOf } from "../storage/page-token.js";
import * as check from "../validation/fields.js";

export async function listNamespaces(request: ListNamespacesRequest, { tenant, bulk }: Call) {
  const { prefix } = request;
  if (prefix !== undefined) check.filterText(prefix, "prefix");
  const limit = check.limit(request.limit, 100);
  const query = ["namespaces", tenant, prefix];
  const [after] = positionOf(request.pageToken, query, 1) ?? [];
  const end = prefix === undefined ? undefined : afterPrefix(prefix);
  // Grouped in the order of the primary key: the statement stops at the limit.
  const rows = await bulk<{ namespace: string; keys: string; bytes: string }>(
    (sql) => sql`
      select m.namespace, count(*) as keys, sum(m.bytes) as bytes
      from mutable m
      where m.tenant = ${tenant} and ${live(sql)}
        ${prefix === undefined ? sql`` : sql`and m.namespace >= ${prefix}`}
        ${end === undefined ? sql`` : sql`and m.namespace < ${end}`}
        ${after === undefined ? sql`` : sql`and m.namespace > ${after}`}
      group by m.namespace order by m.namespace limit ${limit + 1}`,
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    namespaces: page.map(({ namespace, keys, bytes }) => ({
      namespace,
      keys: BigInt(keys),
      bytes: BigInt(bytes),
    })),
    nextPageToken: last && rows.length > limit ? pageToken(query, [last.namespace]) : "",
  };
}

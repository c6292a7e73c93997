import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { WatchRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { NameSelector } from "../feed/watchers.js";
import type { Call } from "../grpc/call.js";
import type { Fragment, Sql } from "../postgres/connection.js";
import { kindOf, selectNames } from "../storage/changes/request.js";
import { type CurrentRow, type Window, watch as watchNames } from "../storage/changes/watch.js";
import { byteWindow, inOrder, sizedRow } from "../storage/keyset.js";
import { afterPrefix } from "../storage/page-token.js";
import { checkReserved } from "../storage/versions/name.js";
import { current, wireSize } from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

export async function* watch(request: WatchRequest, call: Call) {
  const { id, idPrefix, cursor, includeCurrent } = request;
  const type = check.type(request.type);
  checkReserved(call.caller, type, "type");
  const selector: NameSelector = {
    tenant: call.caller.tenant,
    store: "record",
    space: type,
    ...selectNames(["id", id === undefined ? undefined : check.id(id)], ["id_prefix", idPrefix]),
  };
  const messages = watchNames(call, {
    selector,
    cursor,
    includeCurrent,
    readCurrent: (window) => call.db.scans<CurrentRow>((sql) => page(sql, selector, window)),
  });
  for await (const { changes, ...message } of messages)
    yield {
      ...message,
      changes: changes.map(({ kind, space, name, value, revision, agent_id, at, cursor }) => ({
        kind: kindOf(kind),
        type: space,
        id: name,
        version: Number(revision),
        time: timestampFromDate(at),
        cursor,
        ...(value !== null && { dataJson: value }),
        ...(agent_id !== null && { agentId: agent_id }),
      })),
    };
}

/** The current versions of the next records in the order of their ids, and the snapshot as of which they are read. */
function page(
  sql: Sql,
  { tenant, space, name, prefix }: NameSelector,
  { after, rowsMax, bytesMax }: Window,
): Fragment {
  const end = afterPrefix(prefix);
  return sql`
    with page as (
      select h.id, v.version, v.data, v.user_id, v.agent_id, v.created_at, ${sizedRow(sql, wireSize(sql))}
      from immutable h join immutable_version v on ${current(sql)}
      where h.tenant = ${tenant} and h.type = ${space} and h.id > ${after} and h.id >= ${prefix}
        ${end === undefined ? sql`` : sql`and h.id < ${end}`}
        ${name === undefined ? sql`` : sql`and h.id = ${name}`}
      ${inOrder(sql, sql`h.id`)}
      order by h.id limit ${rowsMax}
    ), v as (${byteWindow(sql, bytesMax)})
    select now.snapshot, v.id as name, v.data::text as value, v.version as revision, v.user_id, v.agent_id, v.created_at as at
    from (select durable_snapshot() as snapshot) as now left join v on true
    order by v.place`;
}

import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { WatchRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { NameSelector } from "../feed/watchers.js";
import type { Call } from "../grpc/call.js";
import type { Fragment, Sql } from "../postgres/connection.js";
import { kindOf, selectNames } from "../storage/changes/request.js";
import { type CurrentRow, type Window, watch as watchNames } from "../storage/changes/watch.js";
import { live, wireSize } from "../storage/entries/entry.js";
import { byteWindow, inOrder, sizedRow } from "../storage/keyset.js";
import { afterPrefix } from "../storage/page-token.js";
import * as check from "../validation/fields.js";

export async function* watch(request: WatchRequest, call: Call) {
  const { key, keyPrefix, cursor, includeCurrent } = request;
  const selector: NameSelector = {
    tenant: call.caller.tenant,
    store: "entry",
    space: check.namespace(request.namespace),
    ...selectNames(
      ["key", key === undefined ? undefined : check.key(key)],
      ["key_prefix", keyPrefix],
    ),
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
        namespace: space,
        key: name,
        revision,
        time: timestampFromDate(at),
        cursor,
        ...(value !== null && { valueJson: value }),
        ...(agent_id !== null && { updatedBy: agent_id }),
      })),
    };
}

/** The next entries in the order of their keys, and the snapshot as of which they are read. */
function page(
  sql: Sql,
  { tenant, space, name, prefix }: NameSelector,
  { after, rowsMax, bytesMax }: Window,
): Fragment {
  const end = afterPrefix(prefix);
  return sql`
    with page as (
      select m.*, ${sizedRow(sql, wireSize(sql))}
      from mutable m
      where m.tenant = ${tenant} and m.namespace = ${space} and m.key > ${after} and m.key >= ${prefix}
        ${end === undefined ? sql`` : sql`and m.key < ${end}`}
        ${name === undefined ? sql`` : sql`and m.key = ${name}`} and ${live(sql)}
      ${inOrder(sql, sql`m.key`)}
      order by m.key limit ${rowsMax}
    ), m as (${byteWindow(sql, bytesMax)})
    select now.snapshot, m.key as name, m.value::text as value, m.revision, m.user_id, m.agent_id, m.updated_at as at
    from (select durable_snapshot() as snapshot) as now left join m on true
    order by m.place`;
}

// Which entries of a namespace: the same in List, Count and PurgeMany.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Filter } from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import * as check from "../../validation/fields.js";
import { afterPrefix, type Query } from "../page-token.js";
import { accessOf, live } from "./entry.js";

export interface Matching {
  tenant: string;
  namespace: string;
  keyPrefix: string | undefined;
  userId: string | undefined;
  updatedAfter: Date | undefined;
  updatedBefore: Date | undefined;
  lastAccessedBefore: Date | undefined;
  updatedBy: string | undefined;
  principal: string | undefined;
}

export function checkFilter(
  tenant: string,
  namespace: string,
  filter: Filter | undefined,
): Matching {
  const { keyPrefix, userId } = filter ?? {};
  return {
    tenant,
    namespace: check.namespace(namespace),
    keyPrefix: text(keyPrefix, "filter.key_prefix"),
    userId:
      userId === undefined
        ? undefined
        : check.userId(check.filterText(userId, "filter.user_id"), "filter.user_id"),
    updatedAfter: time(filter?.updatedAfter, "filter.updated_after", Math.floor),
    updatedBefore: time(filter?.updatedBefore, "filter.updated_before", Math.ceil),
    lastAccessedBefore: time(filter?.lastAccessedBefore, "filter.last_accessed_before", Math.ceil),
    updatedBy: text(filter?.updatedBy, "filter.updated_by"),
    principal: text(filter?.principal, "filter.principal"),
  };
}

/** A bound, if it is set. */
const time = (timestamp: Timestamp | undefined, field: string, round: (ms: number) => number) =>
  timestamp && check.time(timestamp, field, round);

const text = (value: string | undefined, field: string) =>
  value === undefined ? undefined : check.filterText(value, field);

/** Whether any filter is set: without one the whole namespace matches. */
export const filters = ({ tenant, namespace, ...rest }: Matching): boolean =>
  Object.values(rest).some((value) => value !== undefined);

export const queryOf = (m: Matching): Query => [
  m.tenant,
  m.namespace,
  m.keyPrefix,
  m.userId,
  m.updatedAfter?.getTime(),
  m.updatedBefore?.getTime(),
  m.lastAccessedBefore?.getTime(),
  m.updatedBy,
  m.principal,
];

/** The condition on `m` that the entries which match fulfil. */
export function matches(sql: Sql, m: Matching): Fragment {
  const end = m.keyPrefix === undefined ? undefined : afterPrefix(m.keyPrefix);
  return sql`
    m.tenant = ${m.tenant} and m.namespace = ${m.namespace} and ${live(sql)}
    ${m.keyPrefix === undefined ? sql`` : sql`and m.key >= ${m.keyPrefix}`}
    ${end === undefined ? sql`` : sql`and m.key < ${end}`}
    ${m.userId === undefined ? sql`` : sql`and m.user_id = ${m.userId}`}
    ${m.updatedAfter ? sql`and m.updated_at > ${m.updatedAfter}` : sql``}
    ${m.updatedBefore ? sql`and m.updated_at < ${m.updatedBefore}` : sql``}
    ${m.updatedBy === undefined ? sql`` : sql`and m.agent_id = ${m.updatedBy}`}
    ${m.principal === undefined ? sql`` : sql`and m.principal = ${m.principal}`}
    ${m.lastAccessedBefore ? sql`and coalesce((select a.accessed_at from mutable_access a where ${accessOf(sql)}), m.created_at) < ${m.lastAccessedBefore}` : sql``}`;
}

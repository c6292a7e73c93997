// The filter of entries in a namespace, which List, Count, PurgeMany and the lists of transactions share. Its
// fields are those of `Filter` in mutable.proto; the client has them in mutable/filters.ts.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Filter } from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import * as check from "../../validation/fields.js";
import { afterPrefix } from "../page-token.js";
import { accessOf, live } from "./entry.js";

/** A filter, checked. Page tokens and request fingerprints are made of the whole of it. */
export interface EntryFilter {
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

export function parseFilter(
  tenant: string,
  namespace: string,
  filter: Filter | undefined,
): EntryFilter {
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

const time = (timestamp: Timestamp | undefined, field: string, round: (ms: number) => number) =>
  timestamp && check.time(timestamp, field, round);

const text = (value: string | undefined, field: string) =>
  value === undefined ? undefined : check.filterText(value, field);

/** True if any filter is set; without one the whole namespace matches. */
export const isFiltered = ({ tenant, namespace, ...filters }: EntryFilter): boolean =>
  Object.values(filters).some((value) => value !== undefined);

/** True if no filter is set but a prefix of the keys. */
export const selectsByKey = (filter: EntryFilter): boolean =>
  !isFiltered({ ...filter, keyPrefix: undefined });

/** The part of `matches` that an index answers, in the order of keys. */
export function within(sql: Sql, { tenant, namespace, keyPrefix, userId }: EntryFilter): Fragment {
  const end = keyPrefix === undefined ? undefined : afterPrefix(keyPrefix);
  return sql`
    m.tenant = ${tenant} and m.namespace = ${namespace}
    ${keyPrefix === undefined ? sql`` : sql`and m.key >= ${keyPrefix}`}
    ${end === undefined ? sql`` : sql`and m.key < ${end}`}
    ${userId === undefined ? sql`` : sql`and m.user_id = ${userId}`}`;
}

/** The condition on `m` of the entries that match. */
export function matches(sql: Sql, filter: EntryFilter): Fragment {
  const { updatedAfter, updatedBefore, updatedBy, principal, lastAccessedBefore } = filter;
  return sql`
    ${within(sql, filter)} and ${live(sql)}
    ${updatedAfter ? sql`and m.updated_at > ${updatedAfter}` : sql``}
    ${updatedBefore ? sql`and m.updated_at < ${updatedBefore}` : sql``}
    ${updatedBy === undefined ? sql`` : sql`and m.agent_id = ${updatedBy}`}
    ${principal === undefined ? sql`` : sql`and m.principal = ${principal}`}
    ${lastAccessedBefore ? sql`and coalesce((select a.accessed_at from mutable_access a where ${accessOf(sql)}), m.created_at) < ${lastAccessedBefore}` : sql``}`;
}

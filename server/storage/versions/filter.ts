// The filter of records by their current version, which List, Count, Search and PurgeMany share.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Filter } from "../../../gen/cortex/immutable/v1/immutable_pb.js";
import { CortexError } from "../../errors/reasons.js";
import type { Caller } from "../../grpc/call.js";
import { type Fragment, joinFragments, type Sql } from "../../postgres/connection.js";
import { comparable } from "../../search/fields.js";
import { formerLabels } from "../../search/former.js";
import { parseExactly } from "../../validation/exact-json.js";
import * as check from "../../validation/fields.js";
import { jsonObject } from "../../validation/json.js";
import { isIn, namesWithin } from "../name-range.js";
import { checkReserved } from "./name.js";

/** A filter, checked. Page tokens and request fingerprints are made of the whole of it. */
export interface RecordFilter {
  tenant: string;
  /** Where to look if there are no types: see Caller. */
  scope: string | undefined;
  /** Empty: all types but the reserved ones. */
  types: string[];
  userId: string | undefined;
  createdAfter: Date | undefined;
  createdBefore: Date | undefined;
  /** JSON that the metadata must contain: what is asked for, all of the tags, or one of the tags. */
  metadata: string | undefined;
  tags: string | undefined;
  anyTags: string[];
  minVersion: number | undefined;
  agentId: string | undefined;
  principal: string | undefined;
}

const listMax = 100;

export function parseFilter(caller: Caller, filter: Filter | undefined): RecordFilter {
  const { types = [], userId, metadataJson, tags = [], anyTags = [], minVersion } = filter ?? {};
  for (const [field, list] of Object.entries({ types, tags, any_tags: anyTags }))
    if (list.length > listMax)
      throw new CortexError("INVALID_FILTER", {
        field: `filter.${field}`,
        problem: "are too many",
        limit: `${listMax}`,
        got: `${list.length}`,
      });
  if (minVersion !== undefined && minVersion < 1)
    throw new CortexError("INVALID_FILTER", {
      field: "filter.min_version",
      problem: "is below 1",
      got: `${minVersion}`,
    });
  const tag = (field: string) => (text: string, i: number) =>
    notEmpty(text, `filter.${field}[${i}]`);
  const allTags = tags.map(tag("tags"));
  return {
    tenant: caller.tenant,
    scope: caller.scope || undefined, // so that it is nowhere for what is in none
    types: types.map((type, i) => parseType(caller, type, `filter.types[${i}]`)),
    userId:
      userId === undefined
        ? undefined
        : check.userId(notEmpty(userId, "filter.user_id"), "filter.user_id"),
    createdAfter: time(filter?.createdAfter, "filter.created_after", Math.floor),
    createdBefore: time(filter?.createdBefore, "filter.created_before", Math.ceil),
    metadata: metadataJson === undefined ? undefined : parseMetadata(metadataJson),
    tags: allTags.length > 0 ? comparable({ tags: allTags }) : undefined,
    anyTags: anyTags.map(tag("any_tags")).map((text) => comparable({ tags: [text] })),
    minVersion,
    agentId: text(filter?.agentId, "filter.agent_id"),
    principal: text(filter?.principal, "filter.principal"),
  };
}

function parseType(caller: Caller, type: string, field: string): string {
  check.type(notEmpty(type, field), field);
  checkReserved(caller, type, field);
  return type;
}

const text = (value: string | undefined, field: string) =>
  value === undefined ? undefined : check.filterText(value, field);

const time = (timestamp: Timestamp | undefined, field: string, round: (ms: number) => number) =>
  timestamp && check.time(timestamp, field, round);

function notEmpty(text: string, field: string): string {
  if (text !== "") return text;
  throw new CortexError("INVALID_FILTER", {
    field,
    problem: "is empty: leave it out to filter by nothing",
  });
}

function parseMetadata(text: string): string {
  const refuse = (problem: string) =>
    new CortexError("INVALID_FILTER", { field: "filter.metadata_json", problem });
  let object: unknown;
  try {
    object = parseExactly(jsonObject(text, "filter.metadata_json"));
  } catch (error) {
    if (!(error instanceof CortexError)) throw error;
    throw refuse(error.details.problem ?? "is not a JSON object");
  }
  if (Object.keys(object as object).length === 0)
    throw refuse("is empty: leave it out to filter by nothing");
  return comparable(object);
}

/** True if any filter is set; without one every record matches. */
export const isFiltered = ({ tenant, scope, ...filters }: RecordFilter): boolean =>
  Object.values(filters).some((value) =>
    Array.isArray(value) ? value.length > 0 : value !== undefined,
  );

/** True if it filters by nothing else than types. */
export const filtersOnlyTypes = ({ types, ...filter }: RecordFilter): boolean =>
  !isFiltered({ ...filter, types: [] });

/** True if it filters by metadata, whose index gives no order. */
export const filtersMetadata = ({
  metadata,
  tags,
  anyTags,
}: Pick<RecordFilter, "metadata" | "tags" | "anyTags">): boolean =>
  metadata !== undefined || tags !== undefined || anyTags.length > 0;

/**
 * The condition on `h` of the records that match. With `hasFormerRecords`, it also holds for records that
 * match by the release before, which took values for equal that are not, until migration 0010 rewrites them.
 */
export function matches(sql: Sql, filter: RecordFilter, hasFormerRecords = false): Fragment {
  const { userId, createdAfter, createdBefore, metadata, tags, anyTags } = filter;
  const { agentId, principal, minVersion } = filter;
  const contains = (json: string) => {
    const exactly = sql`h.labels @> ${json}::text::jsonb`;
    const former = hasFormerRecords ? formerLabels(json) : json;
    if (former === json) return exactly;
    return sql`(${exactly} or (h.unicode is null and h.labels @> ${former}::text::jsonb))`;
  };
  return sql`
    h.tenant = ${filter.tenant} and not h.erased ${ofTypes(sql, filter)}
    ${userId === undefined ? sql`` : sql`and h.user_id = ${userId}`}
    ${createdAfter ? sql`and h.created_at > ${createdAfter}` : sql``}
    ${createdBefore ? sql`and h.created_at < ${createdBefore}` : sql``}
    ${metadata === undefined ? sql`` : sql`and ${contains(metadata)}`}
    ${tags === undefined ? sql`` : sql`and ${contains(tags)}`}
    ${anyTags.length === 0 ? sql`` : sql`and (${joinFragments(sql, anyTags.map(contains), sql`or`)})`}
    ${agentId === undefined ? sql`` : sql`and h.agent_id = ${agentId}`}
    ${principal === undefined ? sql`` : sql`and h.principal = ${principal}`}
    ${minVersion === undefined ? sql`` : sql`and h.version >= ${minVersion}`}`;
}

function ofTypes(sql: Sql, { types, scope }: RecordFilter): Fragment {
  const [first = ""] = types;
  if (types.length === 0) {
    const range = namesWithin({ scope: scope ?? "" });
    return sql`
      and ${isIn(sql, sql`h.type`, range)} and not starts_with(h.type, ${check.reservedTypePrefix})`;
  }
  return types.length === 1 ? sql`and h.type = ${first}` : sql`and h.type = any(${types}::text[])`;
}

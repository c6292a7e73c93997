// Which records: the same in List, Count, Search and PurgeMany. By the current version alone.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Filter } from "../../../gen/cortex/immutable/v1/immutable_pb.js";
import { CortexError } from "../../errors/reasons.js";
import { type Fragment, joinFragments, type Sql } from "../../postgres/connection.js";
import { comparable } from "../../search/text.js";
import * as check from "../../validation/fields.js";
import type { Query } from "../page-token.js";

export interface Matching {
  tenant: string;
  types: string[];
  userId: string | undefined;
  createdAfter: Date | undefined;
  createdBefore: Date | undefined;
  /** JSON that the metadata contains: what is asked for, all of the tags, any of the tags. */
  metadata: string | undefined;
  tags: string | undefined;
  anyTags: string[];
  minVersion: number | undefined;
  agentId: string | undefined;
  principal: string | undefined;
}

const listMax = 100;

export function checkFilter(tenant: string, filter: Filter | undefined): Matching {
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
    filterText(text, `filter.${field}[${i}]`);
  const allTags = tags.map(tag("tags"));
  return {
    tenant,
    types: types.map((type, i) =>
      check.type(filterText(type, `filter.types[${i}]`), `filter.types[${i}]`),
    ),
    userId:
      userId === undefined
        ? undefined
        : check.userId(filterText(userId, "filter.user_id"), "filter.user_id"),
    createdAfter: time(filter?.createdAfter, "filter.created_after", Math.floor),
    createdBefore: time(filter?.createdBefore, "filter.created_before", Math.ceil),
    metadata: metadataJson === undefined ? undefined : contained(metadataJson),
    tags: allTags.length > 0 ? comparable({ tags: allTags }) : undefined,
    anyTags: anyTags.map(tag("any_tags")).map((text) => comparable({ tags: [text] })),
    minVersion,
    agentId: given(filter?.agentId, "filter.agent_id"),
    principal: given(filter?.principal, "filter.principal"),
  };
}

const given = (value: string | undefined, field: string) =>
  value === undefined ? undefined : check.filterText(value, field);

/** A bound, if it is set. */
const time = (timestamp: Timestamp | undefined, field: string, round: (ms: number) => number) =>
  timestamp && check.time(timestamp, field, round);

function filterText(text: string, field: string): string {
  if (text !== "") return text;
  throw new CortexError("INVALID_FILTER", {
    field,
    problem: "is empty: leave it out to filter by nothing",
  });
}

function contained(text: string): string {
  const refuse = (problem: string) =>
    new CortexError("INVALID_FILTER", { field: "filter.metadata_json", problem });
  let object: unknown;
  try {
    object = JSON.parse(check.jsonObject(text, "filter.metadata_json"));
  } catch (error) {
    if (!(error instanceof CortexError)) throw error;
    throw refuse(error.details.problem ?? "is not a JSON object");
  }
  if (Object.keys(object as object).length === 0)
    throw refuse("is empty: leave it out to filter by nothing");
  return comparable(object);
}

/** Whether any filter is set: without one every record matches. */
export const filters = ({ tenant, ...rest }: Matching): boolean =>
  Object.values(rest).some((value) =>
    Array.isArray(value) ? value.length > 0 : value !== undefined,
  );

/** Whether it goes by the metadata, whose index knows no order. */
export const byLabels = ({
  metadata,
  tags,
  anyTags,
}: Pick<Matching, "metadata" | "tags" | "anyTags">): boolean =>
  metadata !== undefined || tags !== undefined || anyTags.length > 0;

export const queryOf = (m: Matching): Query => [
  m.tenant,
  JSON.stringify(m.types),
  m.userId,
  m.createdAfter?.getTime(),
  m.createdBefore?.getTime(),
  m.metadata,
  m.tags,
  JSON.stringify(m.anyTags),
  m.minVersion,
  m.agentId,
  m.principal,
];

/** The condition on `h` that the records which match fulfil. */
export function matches(sql: Sql, m: Matching): Fragment {
  const has = (json: string) => sql`h.labels @> ${json}::text::jsonb`;
  return sql`
    h.tenant = ${m.tenant} and not h.erased
    ${m.types.length === 0 ? sql`` : m.types.length === 1 ? sql`and h.type = ${m.types[0] ?? ""}` : sql`and h.type = any(${m.types}::text[])`}
    ${m.userId === undefined ? sql`` : sql`and h.user_id = ${m.userId}`}
    ${m.createdAfter ? sql`and h.created_at > ${m.createdAfter}` : sql``}
    ${m.createdBefore ? sql`and h.created_at < ${m.createdBefore}` : sql``}
    ${m.metadata === undefined ? sql`` : sql`and ${has(m.metadata)}`}
    ${m.tags === undefined ? sql`` : sql`and ${has(m.tags)}`}
    ${m.anyTags.length === 0 ? sql`` : sql`and (${joinFragments(sql, m.anyTags.map(has), sql`or`)})`}
    ${m.agentId === undefined ? sql`` : sql`and h.agent_id = ${m.agentId}`}
    ${m.principal === undefined ? sql`` : sql`and h.principal = ${m.principal}`}
    ${m.minVersion === undefined ? sql`` : sql`and h.version >= ${m.minVersion}`}`;
}

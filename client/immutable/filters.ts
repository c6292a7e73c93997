// Checks the filters, the order and the page of a list or search of records, and converts them to messages.
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type FilterSchema,
  type ListRequestSchema,
  SearchIn,
  type SearchRequestSchema,
  SortBy,
  SortOrder,
} from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { refused } from "../core/error.js";
import { objectToJson } from "../core/json.js";
import { flag, picked, rejectUnknown, text, time, userIdText, whole } from "../core/validate.js";
import { typeText } from "./versions.js";

/** Selects records by their current version: those that match every filter that is given. */
export interface ImmutableFilters {
  /**
   * Records of this type. If `types` is given too, records of this type or of any of those. If neither is
   * given, records of all types that do not begin with `$cortex/`.
   */
  type?: string | undefined;
  types?: readonly string[] | undefined;
  /** Records of this user. */
  userId?: string | undefined;
  /**
   * Records whose metadata contains this object. An object contains an object with the same or fewer members.
   * A list contains a list with some of its elements, in any order.
   */
  metadata?: Record<string, any> | undefined;
  /** Records that carry all of these tags. */
  tags?: readonly string[] | undefined;
  /** Records that carry any of these tags. */
  anyTag?: readonly string[] | undefined;
  /** Records whose current version was stored after this time (exclusive). */
  createdAfter?: Date | undefined;
  /** Records whose current version was stored before this time (exclusive). */
  createdBefore?: Date | undefined;
  /** Records at this version or a later one. */
  minVersion?: number | undefined;
  /** Records whose current version this agent stored. */
  agentId?: string | undefined;
  /** Records whose current version this principal stored. */
  principal?: string | undefined;
}

export interface ImmutableOrder {
  /** Default: `"createdAt"`. Records with equal fields are sorted by type and id, in the same direction. */
  sortBy?: "createdAt" | "version" | "type" | undefined;
  /** Default: `"desc"`. */
  sortOrder?: "asc" | "desc" | undefined;
}

/** The page of a list or search. */
export interface ImmutablePage {
  /** How many at most: 1 to 1000. Default: 50 for a list, 10 for a search. */
  limit?: number | undefined;
  /** How many matches to skip. Default: 0. Not together with pageToken. */
  offset?: number | undefined;
  /**
   * `nextPageToken` of an earlier result of the same list. Every page costs the same. With `offset`, the
   * server also reads the matches that it skips.
   */
  pageToken?: string | undefined;
}

/**
 * If true, the records carry the versions before the current one (`previousVersions`). Default: true for
 * `get`, false for `list`, `scan` and `search`.
 */
export interface ImmutableHistory {
  includeHistory?: boolean | undefined;
}

export interface ImmutableListFilters
  extends ImmutableFilters,
    ImmutableOrder,
    ImmutablePage,
    ImmutableHistory {
  /** If true, the result has `total`, the exact number of matches. Counting has a cost. Default: true. */
  total?: boolean | undefined;
}

export interface ImmutableSearchFilters
  extends ImmutableFilters,
    Omit<ImmutablePage, "pageToken">,
    ImmutableHistory {
  /** Where to search. Default: `"data"`. With `"both"`, each term may be in the data or in the metadata. */
  searchIn?: "data" | "metadata" | "both" | undefined;
}

const filterNames = [
  "type",
  "types",
  "userId",
  "metadata",
  "tags",
  "anyTag",
  "createdAfter",
  "createdBefore",
  "minVersion",
  "agentId",
  "principal",
];
const orderNames = ["sortBy", "sortOrder", "includeHistory"];

const invalid = (field: string, problem: string) => refused("INVALID_FILTER", field, problem);

function texts(value: unknown, field: string): string[] {
  if (!Array.isArray(value)) throw invalid(field, "is not a list");
  if (value.length === 0) throw invalid(field, "is empty: leave it out to filter by nothing");
  return value.map((one, i) => text(one, `${field}[${i}]`, "INVALID_FILTER"));
}

export function immutableFilterOf(
  filters: ImmutableFilters,
  more: readonly string[] = [],
): MessageInitShape<typeof FilterSchema> {
  rejectUnknown(filters, [...filterNames, ...more], "INVALID_FILTER", "the filter");
  const { type, types, userId, metadata, tags, anyTag, createdAfter, createdBefore } = filters;
  const { minVersion, agentId, principal } = filters;
  return {
    types: [
      ...(type === undefined ? [] : [typeText(type)]),
      ...(types === undefined ? [] : texts(types, "types")),
    ],
    ...(userId !== undefined && { userId: userIdText(userId) }),
    ...(metadata !== undefined && {
      metadataJson: objectToJson(metadata, "metadata", "INVALID_FILTER"),
    }),
    ...(tags !== undefined && { tags: texts(tags, "tags") }),
    ...(anyTag !== undefined && { anyTags: texts(anyTag, "anyTag") }),
    ...(createdAfter !== undefined && { createdAfter: time(createdAfter, "createdAfter") }),
    ...(createdBefore !== undefined && { createdBefore: time(createdBefore, "createdBefore") }),
    ...(minVersion !== undefined && {
      minVersion: whole(minVersion, "minVersion", "INVALID_FILTER"),
    }),
    ...(agentId !== undefined && { agentId: text(agentId, "agentId", "INVALID_FILTER") }),
    ...(principal !== undefined && { principal: text(principal, "principal", "INVALID_FILTER") }),
  };
}

const sortBys = { createdAt: SortBy.CREATE_TIME, version: SortBy.VERSION, type: SortBy.TYPE };
const sortOrders = { asc: SortOrder.ASC, desc: SortOrder.DESC };

function orderOf({
  sortBy = "createdAt",
  sortOrder = "desc",
  includeHistory = false,
}: ImmutableOrder & ImmutableHistory) {
  return {
    sortBy: picked(sortBys, sortBy, "sortBy"),
    sortOrder: picked(sortOrders, sortOrder, "sortOrder"),
    includeHistory: flag(includeHistory, "includeHistory"),
  };
}

const pageOf = ({ limit, offset, pageToken }: ImmutablePage) => ({
  ...(limit !== undefined && { limit: whole(limit, "limit", "INVALID_LIMIT") }),
  ...(offset !== undefined && { offset: whole(offset, "offset", "INVALID_OFFSET") }),
  ...(pageToken !== undefined && {
    pageToken: text(pageToken, "pageToken", "INVALID_PAGE_TOKEN"),
  }),
});

export const immutableScanOf = (
  filters: ImmutableFilters & ImmutableOrder & ImmutableHistory,
): MessageInitShape<typeof ListRequestSchema> => ({
  filter: immutableFilterOf(filters, orderNames),
  ...orderOf(filters),
});

export const immutableListOf = (
  filters: ImmutableListFilters,
): MessageInitShape<typeof ListRequestSchema> => ({
  filter: immutableFilterOf(filters, [...orderNames, "limit", "offset", "pageToken", "total"]),
  ...orderOf(filters),
  ...pageOf(filters),
  ...(filters.total !== undefined && { total: flag(filters.total, "total") }),
});

const searchIns = {
  data: SearchIn.DATA,
  metadata: SearchIn.METADATA,
  both: SearchIn.BOTH,
};

export function searchOf(
  query: unknown,
  filters: ImmutableSearchFilters,
): MessageInitShape<typeof SearchRequestSchema> {
  const names = ["searchIn", "includeHistory", "limit", "offset"];
  const { searchIn = "data", includeHistory = false } = filters;
  return {
    query: text(query, "query", "INVALID_QUERY"),
    filter: immutableFilterOf(filters, names),
    searchIn: picked(searchIns, searchIn, "searchIn", "INVALID_OPTIONS"),
    includeHistory: flag(includeHistory, "includeHistory"),
    ...pageOf(filters),
  };
}

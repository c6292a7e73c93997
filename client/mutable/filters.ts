// Checks the filters, the order and the page of a list of entries, and converts them to messages.
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type FilterSchema,
  type ListRequestSchema,
  SortBy,
  SortOrder,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { flag, picked, rejectUnknown, text, time, userIdText, whole } from "../core/validate.js";

/** Selects entries of a namespace: those that match every filter that is given. */
export interface MutableFilters {
  /** Keys that begin with this text: a prefix, not a pattern. */
  keyPrefix?: string | undefined;
  /** Entries of this user. */
  userId?: string | undefined;
  /** Entries written after this time (exclusive). */
  updatedAfter?: Date | undefined;
  /** Entries written before this time (exclusive). */
  updatedBefore?: Date | undefined;
  /**
   * Entries whose last read by `get` was before this time (exclusive). For an entry that was never read, the
   * time of its creation counts.
   */
  lastAccessedBefore?: Date | undefined;
  /** Entries that this agent wrote last. */
  updatedBy?: string | undefined;
  /** Entries that this principal wrote last. */
  principal?: string | undefined;
}

/** The order of a list or a scan. */
export interface MutableOrder {
  /** Default: `"key"`, bytewise. Entries with equal fields are sorted by key, in the same direction. */
  sortBy?: "key" | "updatedAt" | "accessCount" | undefined;
  /** Default: `"asc"`. */
  sortOrder?: "asc" | "desc" | undefined;
}

/** The page of a list. */
export interface MutablePage {
  /** How many records at most: 1 to 1000. Default: 100. */
  limit?: number | undefined;
  /** How many matches to skip. Default: 0. Not together with pageToken. */
  offset?: number | undefined;
  /**
   * `nextPageToken` of an earlier result of the same list. Every page costs the same. With `offset`, the
   * server also reads the matches that it skips.
   */
  pageToken?: string | undefined;
  /** If true, the result has `total`, the exact number of matches. Counting has a cost. Default: true. */
  total?: boolean | undefined;
}

const filterNames = [
  "keyPrefix",
  "userId",
  "updatedAfter",
  "updatedBefore",
  "lastAccessedBefore",
  "updatedBy",
  "principal",
];
const orderNames = ["sortBy", "sortOrder"];
const pageNames = ["limit", "offset", "pageToken", "total"];

export function filterOf(
  filters: MutableFilters,
  more: readonly string[] = [],
): MessageInitShape<typeof FilterSchema> {
  rejectUnknown(filters, [...filterNames, ...more], "INVALID_FILTER", "the filter");
  const { keyPrefix, userId, updatedAfter, updatedBefore, lastAccessedBefore } = filters;
  const { updatedBy, principal } = filters;
  return {
    ...(keyPrefix !== undefined && { keyPrefix: text(keyPrefix, "keyPrefix", "INVALID_FILTER") }),
    ...(userId !== undefined && { userId: userIdText(userId) }),
    ...(updatedAfter !== undefined && { updatedAfter: time(updatedAfter, "updatedAfter") }),
    ...(updatedBefore !== undefined && { updatedBefore: time(updatedBefore, "updatedBefore") }),
    ...(lastAccessedBefore !== undefined && {
      lastAccessedBefore: time(lastAccessedBefore, "lastAccessedBefore"),
    }),
    ...(updatedBy !== undefined && { updatedBy: text(updatedBy, "updatedBy", "INVALID_FILTER") }),
    ...(principal !== undefined && { principal: text(principal, "principal", "INVALID_FILTER") }),
  };
}

export function scanOf(
  namespace: string,
  filters: MutableFilters & MutableOrder,
): MessageInitShape<typeof ListRequestSchema> {
  return { namespace, filter: filterOf(filters, orderNames), ...orderOf(filters) };
}

export function listOf(
  namespace: string,
  filters: MutableFilters & MutableOrder & MutablePage,
): MessageInitShape<typeof ListRequestSchema> {
  const filter = filterOf(filters, [...orderNames, ...pageNames]);
  const { limit, offset, pageToken, total } = filters;
  return {
    namespace,
    filter,
    ...orderOf(filters),
    ...(limit !== undefined && { limit: whole(limit, "limit", "INVALID_LIMIT") }),
    ...(offset !== undefined && { offset: whole(offset, "offset", "INVALID_OFFSET") }),
    ...(pageToken !== undefined && {
      pageToken: text(pageToken, "pageToken", "INVALID_PAGE_TOKEN"),
    }),
    ...(total !== undefined && { total: flag(total, "total") }),
  };
}

const sortBys = {
  key: SortBy.KEY,
  updatedAt: SortBy.UPDATE_TIME,
  accessCount: SortBy.ACCESS_COUNT,
};
const sortOrders = { asc: SortOrder.ASC, desc: SortOrder.DESC };

const orderOf = ({ sortBy = "key", sortOrder = "asc" }: MutableOrder) => ({
  sortBy: picked(sortBys, sortBy, "sortBy"),
  sortOrder: picked(sortOrders, sortOrder, "sortOrder"),
});

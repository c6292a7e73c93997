// The client of ImmutableStore: versioned records under type + id, with their history.

import {
  ImmutableStore,
  HistoryProblem_Kind as ProblemKind,
  type SearchResult,
} from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { CallOptions, WriteOptions } from "../core/call-options.js";
import { toDate } from "../core/codec.js";
import type { Json } from "../core/json.js";
import type { Transport } from "../core/transport.js";
import {
  callNames,
  callOptions,
  flag,
  rejectUnknown,
  text,
  time,
  whole,
  writeNames,
  writeOptions,
} from "../core/validate.js";
import {
  type ImmutableFilters,
  type ImmutableHistory,
  type ImmutableListFilters,
  type ImmutableOrder,
  type ImmutableSearchFilters,
  immutableFilterOf,
  immutableListOf,
  immutableScanOf,
  searchOf,
} from "./filters.js";
import {
  type ImmutableEntry,
  type ImmutableRecord,
  type ImmutableVersion,
  idText,
  storeInit,
  toImmutableRecord,
  toVersion,
  typeText,
} from "./versions.js";
import { type ImmutableChange, type ImmutableWatchOptions, watch } from "./watch.js";

const rpc = ImmutableStore.method;
const scanPage = 1000;
const purgeTimeoutMs = 60_000;

export interface StoreOptions extends WriteOptions {
  /** Store only if this is the current version; with 0, only if there is no record. Else VERSION_MISMATCH. */
  ifVersion?: number | undefined;
  /** If true, the returned record carries the versions before the current one. Default: true. */
  includeHistory?: boolean | undefined;
}

export interface ImmutableListResult<T = any> {
  records: ImmutableRecord<T>[];
  /** How many records match in all. */
  total: number;
  limit: number;
  offset: number;
  /** True if more records match after these. */
  hasMore: boolean;
  /** The `pageToken` of the next page; undefined if hasMore is false. */
  nextPageToken?: string;
}

export interface ImmutableSearchResult<T = any> {
  record: ImmutableRecord<T>;
  /** How well it matches: above 0, below 1. */
  score: number;
  /** The fields that hold any of the terms, such as `data.title` or `metadata.tags[0]`. */
  matches: string[];
  /**
   * The matching text of the first 10 of these fields, with `<mark>` around each match. It is not escaped for
   * HTML.
   */
  highlights: { path: string; text: string }[];
}

export interface ImmutablePurgeResult {
  /** True if there was something to delete. */
  deleted: boolean;
  type: string;
  id: string;
  versionsDeleted: number;
  purgedAt: Date;
}

export interface ImmutablePurgeManyOptions extends WriteOptions {
  /** If true, it only counts and deletes nothing. */
  dryRun?: boolean | undefined;
  /** If true and no `confirmationToken` is given, nothing is deleted, and the result has a token. */
  requireConfirmation?: boolean | undefined;
  /**
   * The token of an earlier call with the same filters. If other versions match by now, the call fails with
   * CONFIRMATION_STALE.
   */
  confirmationToken?: string | undefined;
}

export interface ImmutablePurgeManyResult {
  /** How many records were deleted. If the call only counts or gives a token: how many it would delete. */
  recordsAffected: number;
  /** How many versions these records have together. */
  versionsDeleted: number;
  /** These records, by type and id: the first 1000. */
  records: { type: string; id: string }[];
  /** The token that deletes exactly these versions, if the call asks for one with requireConfirmation. */
  confirmationToken?: string;
  dryRun: boolean;
}

export interface PurgeVersionsOptions extends WriteOptions {
  /** Keep this many of the latest versions, the current one included: 1 or more. */
  keepLatest?: number | undefined;
  /** Keep the versions that were stored at this time or later. */
  olderThan?: Date | undefined;
}

export interface VerifyHistoryResult {
  /** True if all versions that are kept are as they were stored. */
  valid: boolean;
  /** How many versions were checked. */
  versions: number;
  /** The first version that is kept, and the current one; 0 if there is no record. */
  firstVersion: number;
  currentVersion: number;
  /** The digest of the current version, to be compared with a copy that is kept elsewhere. */
  digest: string;
  /** The versions that are not as they were stored: the first 100. */
  problems: { version: number; kind: "altered" | "missing" | "unlinked" | "unknown" }[];
  /** How many versions hold only their digest, because their user was erased. */
  erased: number;
}

export interface Retention {
  /** How many versions of a record are kept, the current one included; -1: all. */
  defaultVersions: number;
  /** The same number, for the types that have a setting of their own. */
  byType: Record<string, number>;
}

/**
 * Versioned records under type + id, with their history: knowledge, policies, audit logs.
 *
 * Every method takes `{ timeoutMs, signal }` as its last options. Every method throws CortexError. Each
 * method names its own codes. Codes that any method may throw are INVALID_TYPE, INVALID_ID, INVALID_OPTIONS,
 * UNAVAILABLE, DATABASE_UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, and others that the proto of
 * ImmutableStore names for every RPC, such as RATE_LIMITED.
 *
 * Data and metadata may hold bigints. An integer that a number cannot hold is read as a bigint; for other
 * numbers with too many digits see `exactNumbers` of CortexOptions.
 *
 * Types that begin with `$cortex/` are reserved for the server, such as `$cortex/audit`, its records of
 * purges and erasures. A call that names such a type needs the permission `admin`, else it throws
 * PERMISSION_DENIED.
 */
export class Immutable {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Stores the first or the next version of a record. If `userId` or `metadata` is not given, it is as in the
   * version before.
   *
   * @returns The record as stored, with the versions before it (the last 100 at most).
   * @throws INVALID_DATA (with the path), DATA_TOO_LARGE, VALUE_TOO_DEEP, INVALID_METADATA (importance
   * outside 0 to 100, tags that are not strings), INVALID_TYPE (also if the type begins with `$cortex/`),
   * INVALID_USER_ID, USER_NOT_FOUND, VERSION_MISMATCH (ifVersion; `details.current_version`),
   * INVALID_VERSION, REQUEST_ID_REUSED.
   *
   * ```ts
   * const entry = { type: "policy", id: "max-refund", data: { value: 5000 } };
   * const { version } = await cortex.immutable.store(entry);
   * ```
   */
  async store<T = Record<string, any>>(
    entry: ImmutableEntry<T>,
    options: StoreOptions = {},
  ): Promise<ImmutableRecord<T>> {
    rejectUnknown(
      options,
      ["ifVersion", "includeHistory", ...writeNames],
      "INVALID_OPTIONS",
      "store",
    );
    const { ifVersion, includeHistory = true } = options;
    const { record } = await this.#transport.write(
      rpc.store,
      {
        ...storeInit(entry, ifVersion, this.#transport.json),
        includeHistory: flag(includeHistory, "includeHistory"),
      },
      options,
    );
    return toImmutableRecord<T>(record, this.#transport.json);
  }

  /**
   * Reads the current version of a record, with the versions before it (the last 100 at most).
   *
   * @param options `{ includeHistory: false }` leaves out the earlier versions.
   * @returns The record; null if there is none.
   */
  async get<T = any>(
    type: string,
    id: string,
    options: ImmutableHistory & CallOptions = {},
  ): Promise<ImmutableRecord<T> | null> {
    rejectUnknown(options, ["includeHistory", ...callNames], "INVALID_OPTIONS", "get");
    const { includeHistory = true } = options;
    const request = { ...nameOf(type, id), includeHistory: flag(includeHistory, "includeHistory") };
    const { record } = await this.#transport.unary(rpc.get, request, options);
    return record ? toImmutableRecord<T>(record, this.#transport.json) : null;
  }

  /**
   * Reads one version.
   *
   * @returns The version; null if it never existed, or is no longer kept.
   * @throws INVALID_VERSION (0 or below).
   */
  async getVersion<T = any>(
    type: string,
    id: string,
    version: number,
    options: CallOptions = {},
  ): Promise<ImmutableVersion<T> | null> {
    callOptions(options, "getVersion");
    const request = { ...nameOf(type, id), version: whole(version, "version", "INVALID_VERSION") };
    const found = await this.#transport.unary(rpc.getVersion, request, options);
    return found.version ? toVersion<T>(found.version, this.#transport.json, { type, id }) : null;
  }

  /**
   * Reads the version that was current at a time. A version stored in that very millisecond counts.
   *
   * @returns The version; null before the first version, or if the version is no longer kept.
   * @throws INVALID_TIME.
   *
   * ```ts
   * const policy = await cortex.immutable.getAtTimestamp("policy", "max-refund", new Date("2025-01-01"));
   * ```
   */
  async getAtTimestamp<T = any>(
    type: string,
    id: string,
    timestamp: Date,
    options: CallOptions = {},
  ): Promise<ImmutableVersion<T> | null> {
    callOptions(options, "getAtTimestamp");
    const request = { ...nameOf(type, id), time: time(timestamp, "timestamp", "INVALID_TIME") };
    const found = await this.#transport.unary(rpc.getAtTimestamp, request, options);
    return found.version ? toVersion<T>(found.version, this.#transport.json, { type, id }) : null;
  }

  /**
   * Reads all versions that are kept, ascending, the current one included; `[]` if there is no record.
   * `historyStream` needs less memory.
   */
  async getHistory<T = any>(
    type: string,
    id: string,
    options: CallOptions = {},
  ): Promise<ImmutableVersion<T>[]> {
    callOptions(options, "getHistory");
    const messages = await this.#transport.stream(rpc.getHistory, nameOf(type, id), options);
    return messages.flatMap(({ versions }) =>
      versions.map((version) => toVersion<T>(version, this.#transport.json)),
    );
  }

  /**
   * Gives the versions that are kept, ascending, in constant memory. `timeoutMs` bounds the wait for each
   * message of about 100 versions. If the connection breaks, the stream goes on where it was.
   *
   * ```ts
   * for await (const version of cortex.immutable.historyStream("policy", "max-refund")) …
   * ```
   */
  async *historyStream<T = any>(
    type: string,
    id: string,
    options: CallOptions = {},
  ): AsyncGenerator<ImmutableVersion<T>, void, undefined> {
    callOptions(options, "historyStream");
    const name = nameOf(type, id);
    let afterVersion = 0;
    const rest = () => ({ ...name, afterVersion });
    for await (const { versions } of this.#transport.messages(rpc.getHistory, rest, options)) {
      for (const version of versions) yield toVersion<T>(version, this.#transport.json);
      afterVersion = versions.at(-1)?.version ?? afterVersion;
    }
  }

  /**
   * Lists one page of records: at most 1000, by default 50. `scan` gives all records. Types that begin with
   * `$cortex/` are left out, unless the filter names them: `{ type: "$cortex/audit" }` lists the audit trail.
   *
   * @throws INVALID_FILTER, INVALID_LIMIT, INVALID_OFFSET, INVALID_SORT, INVALID_PAGE_TOKEN, INVALID_USER_ID.
   *
   * ```ts
   * const filters = { type: "policy", metadata: { category: "refunds" } };
   * const { records, total } = await cortex.immutable.list(filters);
   * ```
   */
  async list<T = any>(
    filters: ImmutableListFilters & { total: false },
    options?: CallOptions,
  ): Promise<Omit<ImmutableListResult<T>, "total">>;
  async list<T = any>(
    filters?: ImmutableListFilters,
    options?: CallOptions,
  ): Promise<ImmutableListResult<T>>;
  async list<T>(
    filters: ImmutableListFilters = {},
    options: CallOptions = {},
  ): Promise<Omit<ImmutableListResult<T>, "total"> & { total?: number }> {
    callOptions(options, "list");
    const messages = await this.#transport.stream(rpc.list, immutableListOf(filters), options);
    const last = messages.at(-1);
    return {
      records: messages.flatMap(({ records }) =>
        records.map((one) => toImmutableRecord<T>(one, this.#transport.json)),
      ),
      ...(last?.total !== undefined && { total: Number(last.total) }),
      limit: filters.limit ?? 50,
      offset: filters.offset ?? 0,
      hasMore: last?.hasMore ?? false,
      ...(last?.nextPageToken && { nextPageToken: last.nextPageToken }),
    };
  }

  /**
   * Gives every record that matches, page by page, in constant memory. A record that is stored again during
   * the scan may move in the order. Then it may come twice or not at all. Sorted by type, no record moves.
   */
  async *scan<T = any>(
    filters: ImmutableFilters & ImmutableOrder & ImmutableHistory = {},
    options: CallOptions = {},
  ): AsyncGenerator<ImmutableRecord<T>, void, undefined> {
    callOptions(options, "scan");
    const query = immutableScanOf(filters);
    let pageToken = "";
    do {
      const page = () => ({ ...query, pageToken, limit: scanPage, total: false });
      for await (const message of this.#transport.messages(rpc.list, page, options)) {
        for (const record of message.records)
          yield toImmutableRecord<T>(record, this.#transport.json);
        pageToken = message.nextPageToken;
        if (pageToken === "") return; // the scan is complete: a failure from here on must not restart it
      }
    } while (pageToken !== "");
  }

  /**
   * Finds the records whose current version holds every term of a query, best match first. A term is one of:
   * - a word, in any of its forms
   * - at least three letters within a word, or one or two letters at its beginning
   * - a phrase in double quotes
   *
   * @param filters Filters as in `list`, and `searchIn`; `limit` is 10 by default.
   * @throws INVALID_QUERY, SEARCH_TOO_BROAD (it takes longer than the server allows: narrow the filter, or give
   * fewer or rarer words), and the codes of `list`.
   *
   * ```ts
   * const [best] = await cortex.immutable.search("refund process", { type: "kb-article", searchIn: "both" });
   * ```
   */
  async search<T = any>(
    query: string,
    filters: ImmutableSearchFilters = {},
    options: CallOptions = {},
  ): Promise<ImmutableSearchResult<T>[]> {
    callOptions(options, "search");
    const request = searchOf(query, filters);
    let page = await this.#transport.unary(rpc.search, request, options);
    const found = page.results;
    const limit = filters.limit ?? 10;
    // A page ends before the limit if records are large.
    const { offset: _, ...rest } = request;
    while (page.nextPageToken && found.length < limit) {
      const next = { ...rest, limit: limit - found.length, pageToken: page.nextPageToken };
      page = await this.#transport.unary(rpc.search, next, options);
      found.push(...page.results);
    }
    return found.map((result) => toSearchResult<T>(result, this.#transport.json));
  }

  /**
   * Gives the versions that are stored in a type as they are committed, from now on or after a cursor, and what
   * removes records. It never ends by itself: leave the loop, or give a signal. If the connection breaks or the
   * server stops, it goes on where it was. Of each record versions rise and nothing comes twice. Of the versions
   * that one transaction stored in a record, the last one comes.
   *
   * @throws CURSOR_EXPIRED (changes after the cursor are not kept any more: start again with `includeCurrent`),
   * INVALID_CURSOR, INVALID_TYPE, INVALID_FILTER, WATCH_DISABLED.
   *
   * ```ts
   * for await (const { id, version, data } of cortex.immutable.watch("policy")) …
   * ```
   */
  watch<T = Record<string, any>>(
    type: string,
    options: ImmutableWatchOptions = {},
  ): AsyncGenerator<ImmutableChange<T>, void, undefined> {
    return watch<T>(this.#transport, type, options);
  }

  /** Counts the records that match. Takes only filters: a limit or a sort is INVALID_FILTER. */
  async count(filters: ImmutableFilters = {}, options: CallOptions = {}): Promise<number> {
    callOptions(options, "count");
    const request = { filter: immutableFilterOf(filters) };
    return Number((await this.#transport.unary(rpc.count, request, options)).count);
  }

  /**
   * Deletes a record with all its versions. A missing record is `deleted: false`, no error. A later `store`
   * begins again at version 1. `timeoutMs` is 60 seconds by default.
   *
   * @throws REQUEST_ID_REUSED.
   */
  async purge(type: string, id: string, options: WriteOptions = {}): Promise<ImmutablePurgeResult> {
    writeOptions(options, "purge");
    const purged = await this.#transport.write(
      rpc.purge,
      nameOf(type, id),
      withPurgeTimeout(options),
    );
    const { deleted, versionsDeleted, purgeTime } = purged;
    return {
      deleted,
      type,
      id,
      versionsDeleted: Number(versionsDeleted),
      purgedAt: toDate(purgeTime),
    };
  }

  /**
   * Deletes the records whose current version matches, with all their versions: all of them or none.
   * `timeoutMs` is 60 seconds by default.
   *
   * @throws INVALID_FILTER (also if no filter is given), CONFIRMATION_STALE, REQUEST_ID_REUSED.
   */
  async purgeMany(
    filters: ImmutableFilters,
    options: ImmutablePurgeManyOptions = {},
  ): Promise<ImmutablePurgeManyResult> {
    const known = ["dryRun", "requireConfirmation", "confirmationToken", ...writeNames];
    rejectUnknown(options, known, "INVALID_OPTIONS", "purgeMany");
    const { dryRun = false, requireConfirmation = false, confirmationToken: token } = options;
    const request = {
      filter: immutableFilterOf(filters),
      dryRun: flag(dryRun, "dryRun"),
      requireConfirmation: flag(requireConfirmation, "requireConfirmation"),
      ...(token !== undefined && {
        confirmationToken: text(token, "confirmationToken", "INVALID_OPTIONS"),
      }),
    };
    const purged = await this.#transport.write(rpc.purgeMany, request, withPurgeTimeout(options));
    return {
      recordsAffected: Number(purged.recordsAffected),
      versionsDeleted: Number(purged.versionsDeleted),
      records: purged.records.map(({ type, id }) => ({ type, id })),
      ...(purged.confirmationToken !== undefined && {
        confirmationToken: purged.confirmationToken,
      }),
      dryRun: purged.dryRun,
    };
  }

  /**
   * Deletes old versions of a record, never the current one. `keepLatest` and `olderThan` say which versions
   * to keep. If both are given, it keeps every version that either of them keeps. `timeoutMs` is 60 seconds
   * by default.
   *
   * @throws INVALID_OPTIONS (neither of the two, keepLatest below 1), INVALID_TIME, REQUEST_ID_REUSED.
   *
   * ```ts
   * await cortex.immutable.purgeVersions("kb-article", "guide-123", { keepLatest: 20 });
   * ```
   */
  async purgeVersions(
    type: string,
    id: string,
    options: PurgeVersionsOptions,
  ): Promise<{ versionsDeleted: number; versionsRemaining: number }> {
    const known = ["keepLatest", "olderThan", ...writeNames];
    rejectUnknown(options, known, "INVALID_OPTIONS", "purgeVersions");
    const { keepLatest, olderThan } = options;
    const request = {
      ...nameOf(type, id),
      ...(keepLatest !== undefined && {
        keepLatest: whole(keepLatest, "keepLatest", "INVALID_OPTIONS"),
      }),
      ...(olderThan !== undefined && { olderThan: time(olderThan, "olderThan", "INVALID_TIME") }),
    };
    const purged = await this.#transport.write(
      rpc.purgeVersions,
      request,
      withPurgeTimeout(options),
    );
    return {
      versionsDeleted: Number(purged.versionsDeleted),
      versionsRemaining: Number(purged.versionsRemaining),
    };
  }

  /**
   * Recomputes the digests of the versions that are kept, and reports versions that do not agree with their
   * digest. Somebody with write access to the database can recompute them too; to find that, compare `digest`
   * with a copy that is kept elsewhere.
   */
  async verifyHistory(
    type: string,
    id: string,
    options: CallOptions = {},
  ): Promise<VerifyHistoryResult> {
    callOptions(options, "verifyHistory");
    const verified = await this.#transport.unary(rpc.verifyHistory, nameOf(type, id), options);
    const { valid, firstVersion, currentVersion, digest, problems } = verified;
    return {
      valid,
      versions: Number(verified.versions),
      firstVersion,
      currentVersion,
      digest,
      problems: problems.map(({ version, kind }) => ({ version, kind: problemKinds[kind] })),
      erased: Number(verified.erased),
    };
  }

  /** Reads how many versions the server keeps (its `--retention`). */
  async getRetention(options: CallOptions = {}): Promise<Retention> {
    callOptions(options, "getRetention");
    const { defaultVersions, byType } = await this.#transport.unary(rpc.getRetention, {}, options);
    return { defaultVersions, byType };
  }
}

const nameOf = (type: unknown, id: unknown) => ({ type: typeText(type), id: idText(id) });

const withPurgeTimeout = (options: WriteOptions): WriteOptions => ({
  ...options,
  timeoutMs: options.timeoutMs ?? purgeTimeoutMs,
});

const problemKinds = {
  [ProblemKind.UNSPECIFIED]: "unknown",
  [ProblemKind.ALTERED]: "altered",
  [ProblemKind.MISSING]: "missing",
  [ProblemKind.UNLINKED]: "unlinked",
  [ProblemKind.UNKNOWN]: "unknown",
} as const;

const toSearchResult = <T>(result: SearchResult, json: Json): ImmutableSearchResult<T> => ({
  record: toImmutableRecord<T>(result.record, json),
  score: result.score,
  matches: result.matches,
  highlights: result.highlights.map(({ path, text }) => ({ path, text })),
});

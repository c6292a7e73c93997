// The options and results of the methods of `mutable`.
import type { WriteOptions } from "../core/call-options.js";
import type { MutableRecord } from "./records.js";

/** The fields of an entry besides its value. */
export interface EntryOptions {
  /** The user the entry belongs to; must exist. Undefined: as it was. null: nobody. */
  userId?: string | null | undefined;
  /** Any JSON object up to 64 KiB. Undefined: as it was. null: `{}`. */
  metadata?: Record<string, unknown> | null | undefined;
  /**
   * Seconds until the entry expires: above 0, at most 100 years. Undefined: the entry does not expire,
   * and an earlier expiry is removed.
   */
  ttlSeconds?: number | undefined;
}

export interface SetOptions extends EntryOptions, WriteOptions {
  /** Store only if the entry is at this revision, else REVISION_MISMATCH. */
  ifRevision?: string | undefined;
  /** Store only if the key does not exist, else KEY_EXISTS. */
  ifAbsent?: boolean | undefined;
}

export interface ChangeOptions extends WriteOptions {
  /** If true, a missing key is created, from 0, `[]` or `{}`. Default: a missing key is KEY_NOT_FOUND. */
  createIfMissing?: boolean | undefined;
  /** Change only if the entry is at this revision, else REVISION_MISMATCH. */
  ifRevision?: string | undefined;
}

export interface DeleteOptions extends WriteOptions {
  /** If true, a missing key is KEY_NOT_FOUND. Default: it is `deleted: false`. */
  mustExist?: boolean | undefined;
  /** Delete only if the entry is at this revision, else REVISION_MISMATCH. */
  ifRevision?: string | undefined;
}

export interface PurgeOptions extends WriteOptions {
  /** If true, it only counts and deletes nothing. */
  dryRun?: boolean | undefined;
}

export interface DeleteResult {
  /** True if there was something to delete. */
  deleted: boolean;
  namespace: string;
  key: string;
  /** The database's time of the delete, also if there was nothing to delete. */
  deletedAt: Date;
}

export interface PurgeResult {
  /** How many keys were (with dryRun: would be) deleted. */
  deleted: number;
  /** The same number as `deleted`. */
  keysDeleted: number;
  namespace: string;
  /** These keys, in bytewise order: the first 1000. */
  keys: string[];
  dryRun: boolean;
}

/** The result of `purge`. */
export interface PurgeKeyResult extends Omit<PurgeResult, "deleted"> {
  /** True if there was something to delete. */
  deleted: boolean;
  key: string;
  deletedAt: Date;
}

export interface MutableListResult<T = any> {
  records: MutableRecord<T>[];
  /** How many entries match in all. */
  total: number;
  limit: number;
  offset: number;
  /** True if more entries match after these. */
  hasMore: boolean;
  /** The `pageToken` of the next page; undefined if hasMore is false. */
  nextPageToken?: string;
}

export interface NamespaceSummary {
  namespace: string;
  /** How many entries it holds. */
  keys: number;
  /** How many bytes their values are, as UTF-8 JSON text. */
  bytes: number;
}

/** An entry of the list form of `setMany`. */
export interface SetManyEntry extends EntryOptions {
  key: string;
  value: unknown;
}

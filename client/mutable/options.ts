// The options and results of the methods of `mutable`.
import type { WriteOptions } from "../core/transport.js";
import type { MutableRecord } from "./records.js";

/** What an entry carries besides its value. */
export interface EntryOptions {
  /** The user the entry belongs to; must exist. Undefined: as it was. null: nobody. */
  userId?: string | null | undefined;
  /** Any JSON object up to 64 KiB. Undefined: as it was. null: `{}`. */
  metadata?: Record<string, unknown> | null | undefined;
  /** Seconds until the entry expires: above 0, at most 100 years. Undefined: it does not expire, whatever was set before. */
  ttlSeconds?: number | undefined;
}

export interface SetOptions extends EntryOptions, WriteOptions {
  /** Store only if the entry is at this revision, else REVISION_MISMATCH. */
  ifRevision?: string | undefined;
  /** Store only if the key does not exist, else KEY_EXISTS. */
  ifAbsent?: boolean | undefined;
}

export interface ChangeOptions extends WriteOptions {
  /** Whether a missing key is created: from 0, `[]` or `{}`. Default: it is KEY_NOT_FOUND. */
  createIfMissing?: boolean | undefined;
  /** Change only if the entry is at this revision, else REVISION_MISMATCH. */
  ifRevision?: string | undefined;
}

export interface DeleteOptions extends WriteOptions {
  /** Whether a missing key is KEY_NOT_FOUND. Default: it is `deleted: false`. */
  mustExist?: boolean | undefined;
  /** Delete only if the entry is at this revision, else REVISION_MISMATCH. */
  ifRevision?: string | undefined;
}

export interface PurgeOptions extends WriteOptions {
  /** Whether to count only, and delete nothing. */
  dryRun?: boolean | undefined;
}

export interface DeleteResult {
  /** Whether there was something to delete. */
  deleted: boolean;
  namespace: string;
  key: string;
  /** When that was decided. */
  deletedAt: Date;
}

export interface PurgeResult {
  /** How many keys were (with dryRun: would be) deleted. */
  deleted: number;
  /** The same number. */
  keysDeleted: number;
  namespace: string;
  /** The first 1000 of the keys, by key. */
  keys: string[];
  dryRun: boolean;
}

/** What purging one key gives. */
export interface PurgeKeyResult extends Omit<PurgeResult, "deleted"> {
  /** Whether there was something to delete. */
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
  /** Whether more entries match after these. */
  hasMore: boolean;
  /** Where to go on (`pageToken`); undefined where hasMore is false. */
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

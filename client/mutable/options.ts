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
  /** If true, it only counts and deletes nothing. Default: false. */
  dryRun?: boolean | undefined;
  /**
   * If true, the purge is a series of calls, for more entries than can be deleted before a deadline. Each
   * call is a step: it deletes up to `entriesPerStep` entries, all or nothing. Default: false, all or nothing.
   * - Entries that are created after the first step began stay. Others are deleted if they match when their
   *   step looks at them. Other writes do not wait, except for the entries of the step that is running.
   * - `timeoutMs` bounds each step with its retries (default: 60 seconds), not the whole purge. `signal` ends
   *   the purge. What the steps so far have deleted stays deleted, also if a step fails.
   * - `requestId` (here at most 116 bytes) names all steps: `<requestId>:1` and so on. The same purge under
   *   the same id, within 24 hours, goes on where an earlier attempt has ended, and counts what that deleted.
   */
  stepped?: boolean | undefined;
  /** How many entries a step deletes at most: 1 to 10000. Default: 1000. Only with `stepped`. */
  entriesPerStep?: number | undefined;
  /**
   * Called after each step. The next step waits for what it returns. If it throws, the purge ends with that
   * error. Only with `stepped`.
   */
  onProgress?: ((progress: PurgeProgress) => void | Promise<void>) | undefined;
}

/** How far a purge in steps is. */
export interface PurgeProgress {
  /** How many entries all steps so far have deleted (with dryRun: counted). */
  deleted: number;
  /** True after the last step. */
  done: boolean;
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

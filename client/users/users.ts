// The client of Users: the users that data can belong to.
import {
  type User as UserMessage,
  Users as UsersService,
} from "../../gen/cortex/users/v1/users_pb.js";
import type { CallOptions, WriteOptions } from "../core/call-options.js";
import { toDate } from "../core/codec.js";
import { exportedLines } from "../core/export.js";
import { type Json, objectToJson } from "../core/json.js";
import type { Transport } from "../core/transport.js";
import {
  callOptions,
  flag,
  rejectUnknown,
  text,
  userIdText,
  whole,
  writeOptions,
} from "../core/validate.js";

/** A user that data can belong to. */
export interface User {
  /** 1 to 256 bytes of UTF-8, unique in the tenant. */
  id: string;
  /** `{}` if none was given. An integer that a number cannot hold is a bigint. */
  profile: Record<string, unknown>;
  createdAt: Date;
  updatedAt: Date;
}

export interface UserFilters {
  /** Only ids that begin with this text. */
  idPrefix?: string | undefined;
  /** How many at most: 1 to 1000. Default: 100. */
  limit?: number | undefined;
  /** How many to skip. Default: 0. */
  offset?: number | undefined;
}

export interface UserListResult {
  /** The users, in bytewise order of their ids. */
  records: User[];
  total: number;
  limit: number;
  offset: number;
  hasMore: boolean;
}

export interface DeleteUserOptions extends WriteOptions {
  /** If true, everything that is linked to the user is erased too. Default: linked data is USER_HAS_DATA. */
  cascade?: boolean | undefined;
  /** If true, it only counts and erases nothing. Without `cascade`, linked data is USER_HAS_DATA here too. */
  dryRun?: boolean | undefined;
  /**
   * If true, it checks in the same transaction that nothing is left. Default: true, but false for a dryRun.
   */
  verify?: boolean | undefined;
}

export interface DeleteUserResult {
  /** True if the user was erased. False: no user has the id, or it was a dryRun. */
  deleted: boolean;
  /** Only with dryRun: true if the user would be erased. */
  wouldDelete?: boolean;
  userId: string;
  /**
   * How many rows were (with dryRun: would be) erased, by table: `users`, `mutable`, `mutable_access`,
   * `immutable` (records of which nothing is left), `immutable_version`, `request` (stored replies),
   * `change` (the log of changes, which watches read),
   * `claim`, `claim_waiter`.
   */
  counts: Record<string, number>;
  /** The sum of the counts. */
  totalDeleted: number;
  /** True if the check that `verify` asks for was done, and nothing was left. */
  verified: boolean;
  dryRun: boolean;
}

const rpc = UsersService.method;

/**
 * The users of the tenant. Every method throws CortexError. Each method names its own codes. Codes that any
 * method may throw are INVALID_USER_ID, INVALID_OPTIONS, UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, and
 * others that the proto of Users names for every RPC.
 */
export class Users {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Creates a user.
   *
   * @param profile Any JSON object up to 64 KiB. Default: `{}`.
   * @throws USER_EXISTS, INVALID_METADATA.
   */
  async create(
    id: string,
    profile?: Record<string, unknown>,
    options: WriteOptions = {},
  ): Promise<User> {
    writeOptions(options, "create");
    const { user } = await this.#transport.write(
      rpc.create,
      requestOf(id, profile, this.#transport.json),
      options,
    );
    return toUser(user, this.#transport.json);
  }

  /** Creates a user. If the user exists and a profile is given, replaces the profile. */
  async upsert(
    id: string,
    profile?: Record<string, unknown>,
    options: WriteOptions = {},
  ): Promise<User> {
    writeOptions(options, "upsert");
    const { user } = await this.#transport.write(
      rpc.upsert,
      requestOf(id, profile, this.#transport.json),
      options,
    );
    return toUser(user, this.#transport.json);
  }

  /**
   * Replaces the profile of a user.
   *
   * @throws USER_NOT_FOUND, INVALID_METADATA.
   */
  async update(
    id: string,
    profile: Record<string, unknown>,
    options: WriteOptions = {},
  ): Promise<User> {
    writeOptions(options, "update");
    const request = {
      id: userIdText(id, "id"),
      profileJson: profileJson(id, profile, this.#transport.json),
    };
    const { user } = await this.#transport.write(rpc.update, request, options);
    return toUser(user, this.#transport.json);
  }

  /**
   * Erases a user. With `cascade` it also erases everything that is linked to the user, in one transaction:
   * entries, versions (old ones too), access statistics, stored replies. If a record also has versions of
   * others, those stay and can still be verified. Until the erasure ends, nobody can link anything to the
   * user. The call needs the permission `admin` if the server asks for credentials.
   *
   * ```ts
   * await cortex.users.delete("user-123", { cascade: true });
   * // { deleted: true, counts: { mutable: 3, … }, verified: true, … }
   * ```
   *
   * @throws USER_HAS_DATA without `cascade`, INVALID_OPTIONS if both `verify` and `dryRun` are true.
   */
  async delete(id: string, options: DeleteUserOptions = {}): Promise<DeleteUserResult> {
    writeOptions(options, "delete", ["cascade", "dryRun", "verify"]);
    const { cascade = false, dryRun = false, verify = !dryRun, ...rest } = options;
    const request = {
      id: userIdText(id, "id"),
      cascade: flag(cascade, "cascade"),
      dryRun: flag(dryRun, "dryRun"),
      verify: flag(verify, "verify"),
    };
    const reply = await this.#transport.write(rpc.delete, request, rest);
    const counts = Object.entries(reply.counts).map(([table, n]) => [table, Number(n)]);
    return {
      deleted: reply.deleted && !reply.dryRun,
      ...(reply.dryRun && { wouldDelete: reply.deleted }),
      userId: reply.userId,
      counts: Object.fromEntries(counts) as Record<string, number>,
      totalDeleted: Number(reply.totalDeleted),
      verified: reply.verified,
      dryRun: reply.dryRun,
    };
  }

  /**
   * Gives everything that is linked to a user, to answer a data access request, in constant memory. Each item
   * is one line of JSON. Its member `kind` is `user`, `mutable` (an entry), `immutable` (a version), `claim`, `stream` (an
   * entry of one) or `change` (of the log that watches read). The
   * call needs the permission `admin` if the server asks for credentials. If the stream breaks after its
   * first line, the export fails; begin it again.
   *
   * ```ts
   * for await (const line of cortex.users.export("user-123")) …
   * ```
   *
   * @throws USER_NOT_FOUND.
   */
  async *export(id: string, options: CallOptions = {}): AsyncGenerator<string, void, undefined> {
    callOptions(options, "export");
    yield* exportedLines(this.#transport, rpc.export, { id: userIdText(id, "id") }, options);
  }

  /** Reads a user; null if no user has the id. */
  async get(id: string, options: CallOptions = {}): Promise<User | null> {
    callOptions(options, "get");
    const { user } = await this.#transport.unary(rpc.get, { id: userIdText(id, "id") }, options);
    return user ? toUser(user, this.#transport.json) : null;
  }

  /**
   * Lists users by id.
   *
   * @throws INVALID_FILTER, INVALID_LIMIT, INVALID_OFFSET.
   */
  async list(filters: UserFilters = {}, options: CallOptions = {}): Promise<UserListResult> {
    callOptions(options, "list");
    rejectUnknown(filters, ["idPrefix", "limit", "offset"], "INVALID_FILTER", "the filter");
    const { idPrefix } = filters;
    const limit = whole(filters.limit ?? 100, "limit", "INVALID_LIMIT");
    const offset = whole(filters.offset ?? 0, "offset", "INVALID_OFFSET");
    const filter =
      idPrefix === undefined ? {} : { idPrefix: text(idPrefix, "idPrefix", "INVALID_FILTER") };
    let page = await this.#transport.unary(rpc.list, { ...filter, limit, offset }, options);
    const records = page.users.map((user) => toUser(user, this.#transport.json));
    // A page may end before the limit if profiles are large.
    while (page.hasMore && records.length < limit) {
      const rest = { ...filter, limit: limit - records.length, pageToken: page.nextPageToken };
      page = await this.#transport.unary(rpc.list, rest, options);
      records.push(...page.users.map((user) => toUser(user, this.#transport.json)));
    }
    return { records, total: Number(page.total), limit, offset, hasMore: page.hasMore };
  }
}

const requestOf = (id: string, profile: Record<string, unknown> | undefined, json: Json) => ({
  id: userIdText(id, "id"),
  ...(profile !== undefined && { profileJson: profileJson(id, profile, json) }),
});

const profileJson = (id: string, profile: Record<string, unknown>, json: Json) =>
  objectToJson(profile, "profile", "INVALID_METADATA", json.textsAt(profileName(id)));

/** The name of a profile for `Json`. */
const profileName = (id: string) => `profile\0${id}`;

function toUser(message: UserMessage | undefined, json: Json): User {
  if (!message) throw new TypeError("the response holds no user");
  return {
    id: message.id,
    profile: json.parse(message.profileJson, profileName(message.id)),
    createdAt: toDate(message.createTime),
    updatedAt: toDate(message.updateTime),
  };
}

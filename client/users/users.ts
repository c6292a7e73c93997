import {
  type User as UserMessage,
  Users as UsersService,
} from "../../gen/cortex/users/v1/users_pb.js";
import { toDate } from "../core/codec.js";
import { CortexError } from "../core/error.js";
import { objectToJson } from "../core/json.js";
import type { CallOptions, Transport, WriteOptions } from "../core/transport.js";
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
  /** `{}` where none was given. */
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
  /** By id, bytewise. */
  records: User[];
  total: number;
  limit: number;
  offset: number;
  hasMore: boolean;
}

export interface DeleteUserOptions extends WriteOptions {
  /** Whether all that is linked to the user is erased too. Default: that is USER_HAS_DATA. */
  cascade?: boolean | undefined;
  /** Whether to count only, and erase nothing. With the same `cascade`: without, what is linked is USER_HAS_DATA here too. */
  dryRun?: boolean | undefined;
  /** Whether to look once more, in the same transaction, that nothing is left. Default: true, but for a dryRun. */
  verify?: boolean | undefined;
}

export interface DeleteUserResult {
  /** Whether the user was (with dryRun: would be) erased; false: nobody has the id. */
  deleted: boolean;
  userId: string;
  /**
   * How many rows were (with dryRun: would be) erased, by table: `users`, `mutable`, `mutable_access`, `immutable` (records of which
   * nothing is left), `immutable_version`, `request` (kept replies).
   */
  counts: Record<string, number>;
  /** The sum of the counts. */
  totalDeleted: number;
  /** Whether it was looked, and nothing was left. */
  verified: boolean;
  dryRun: boolean;
}

const rpc = UsersService.method;

/** The users of the tenant. Every method throws CortexError: INVALID_USER_ID and the codes it names. */
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
    const { user } = await this.#transport.write(rpc.create, requestOf(id, profile), options);
    return toUser(user);
  }

  /** Creates a user, or replaces the profile of an existing one where a profile is given. */
  async upsert(
    id: string,
    profile?: Record<string, unknown>,
    options: WriteOptions = {},
  ): Promise<User> {
    writeOptions(options, "upsert");
    const { user } = await this.#transport.write(rpc.upsert, requestOf(id, profile), options);
    return toUser(user);
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
    const request = { id: userIdText(id, "id"), profileJson: objectToJson(profile, "profile") };
    const { user } = await this.#transport.write(rpc.update, request, options);
    return toUser(user);
  }

  /**
   * Erases a user: with `cascade` also all that is linked to the user, in one transaction: entries, versions (old ones too), access
   * statistics, kept replies. Where a record also has versions of others, those stay, and can still be verified. Nobody can link anything
   * to the user meanwhile. Needs the permission `admin` where the server asks for credentials.
   *
   * ```ts
   * await cortex.users.delete("user-123", { cascade: true }); // { deleted: true, counts: { mutable: 3, … }, verified: true, … }
   * ```
   *
   * @throws USER_HAS_DATA without `cascade`, INVALID_OPTIONS where `verify` is asked of a dryRun.
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
      deleted: reply.deleted,
      userId: reply.userId,
      counts: Object.fromEntries(counts) as Record<string, number>,
      totalDeleted: Number(reply.totalDeleted),
      verified: reply.verified,
      dryRun: reply.dryRun,
    };
  }

  /**
   * All that is linked to a user, as lines of JSON, for a request of access: `kind` is `user`, `mutable` (an entry) or `immutable` (a
   * version). In constant memory: `for await (const line of cortex.users.export("user-123")) …`. Needs the permission `admin` where the
   * server asks for credentials. An export that is cut off fails, and is best begun again.
   *
   * @throws USER_NOT_FOUND.
   */
  async *export(id: string, options: CallOptions = {}): AsyncGenerator<string, void, undefined> {
    callOptions(options, "export");
    const request = { id: userIdText(id, "id") };
    let begun = false;
    const once = () => {
      if (begun) throw new CortexError("UNKNOWN", "the export was cut off: begin it again");
      return request;
    };
    for await (const { lines } of this.#transport.messages(rpc.export, once, options))
      for (const line of lines) {
        begun = true;
        yield line;
      }
  }

  /** Reads a user; null where nobody has the id. */
  async get(id: string, options: CallOptions = {}): Promise<User | null> {
    callOptions(options, "get");
    const { user } = await this.#transport.unary(rpc.get, { id: userIdText(id, "id") }, options);
    return user ? toUser(user) : null;
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
    const records = page.users.map(toUser);
    // A page may end before the limit where profiles are large.
    while (page.hasMore && records.length < limit) {
      const rest = { ...filter, limit: limit - records.length, pageToken: page.nextPageToken };
      page = await this.#transport.unary(rpc.list, rest, options);
      records.push(...page.users.map(toUser));
    }
    return { records, total: Number(page.total), limit, offset, hasMore: page.hasMore };
  }
}

const requestOf = (id: string, profile: Record<string, unknown> | undefined) => ({
  id: userIdText(id, "id"),
  ...(profile !== undefined && { profileJson: objectToJson(profile, "profile") }),
});

function toUser(message: UserMessage | undefined): User {
  if (!message) throw new TypeError("the response holds no user");
  return {
    id: message.id,
    profile: JSON.parse(message.profileJson) as Record<string, unknown>,
    createdAt: toDate(message.createTime),
    updatedAt: toDate(message.updateTime),
  };
}

import {
  type User as UserMessage,
  Users as UsersService,
} from "../gen/cortex/users/v1/users_pb.js";
import { callOptions, only, text, userIdText, whole, writeOptions } from "./arguments.js";
import type { Caller, CallOptions, WriteOptions } from "./call.js";
import { objectToJson } from "./json.js";
import { toDate } from "./records.js";

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

const rpc = UsersService.method;

/** The users of the tenant. Every method throws CortexError: INVALID_USER_ID and the codes it names. */
export class Users {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
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
    const { user } = await this.#caller.write(rpc.create, requestOf(id, profile), options);
    return toUser(user);
  }

  /** Creates a user, or replaces the profile of an existing one where a profile is given. */
  async upsert(
    id: string,
    profile?: Record<string, unknown>,
    options: WriteOptions = {},
  ): Promise<User> {
    writeOptions(options, "upsert");
    const { user } = await this.#caller.write(rpc.upsert, requestOf(id, profile), options);
    return toUser(user);
  }

  /** Reads a user; null where nobody has the id. */
  async get(id: string, options: CallOptions = {}): Promise<User | null> {
    callOptions(options, "get");
    const { user } = await this.#caller.unary(rpc.get, { id: userIdText(id, "id") }, options);
    return user ? toUser(user) : null;
  }

  /**
   * Lists users by id.
   *
   * @throws INVALID_FILTER, INVALID_LIMIT, INVALID_OFFSET.
   */
  async list(filters: UserFilters = {}, options: CallOptions = {}): Promise<UserListResult> {
    callOptions(options, "list");
    only(filters, ["idPrefix", "limit", "offset"], "INVALID_FILTER", "the filter");
    const { idPrefix } = filters;
    const limit = whole(filters.limit ?? 100, "limit", "INVALID_LIMIT");
    const offset = whole(filters.offset ?? 0, "offset", "INVALID_OFFSET");
    const filter =
      idPrefix === undefined ? {} : { idPrefix: text(idPrefix, "idPrefix", "INVALID_FILTER") };
    let page = await this.#caller.unary(rpc.list, { ...filter, limit, offset }, options);
    const records = page.users.map(toUser);
    // A page may end before the limit where profiles are large.
    while (page.hasMore && records.length < limit) {
      const rest = { ...filter, limit: limit - records.length, pageToken: page.nextPageToken };
      page = await this.#caller.unary(rpc.list, rest, options);
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

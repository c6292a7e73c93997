// A user: its row, its message, and the one way in which users are written.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { UserSchema } from "../../../gen/cortex/users/v1/users_pb.js";
import { codeOf } from "../../errors/sqlstate.js";
import type { Call } from "../../grpc/call.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import { type IdempotencyKey, once, runWork } from "../idempotency.js";
import { isLocked, untilUnlocked, userLockName } from "../locks.js";

export interface UserRow {
  id: string;
  profile: string;
  created_at: Date;
  updated_at: Date;
}

/** A user in a stored reply, whose times are milliseconds. */
interface StoredUser {
  id: string;
  profile: string;
  created_at: number;
  updated_at: number;
}

/** A stored user whose profile may be left out (see kept-replies.ts). The present one then takes its place. */
type SlimUser = Omit<StoredUser, "profile"> & { profile: string | null };

export const columns = (sql: Sql): Fragment =>
  sql`u.id, u.profile::text as profile, u.created_at, u.updated_at`;

interface UserWrite {
  id: string;
  key: IdempotencyKey | undefined;
  profile: string;
  /** Writes a user and returns the row. */
  write: (sql: Sql) => Fragment;
}

/** Writes a user once, if its tenant has room for the profile; undefined: the statement wrote none. */
export function writeUser(call: Call, user: UserWrite): Promise<StoredUser | undefined> {
  const { caller, db, server } = call;
  const { tenant } = caller;
  const { id, key } = user;
  return once<StoredUser>(call, key, {
    async parse(reply) {
      const stored: SlimUser = JSON.parse(reply);
      const { profile } = stored;
      if (profile !== null) return { ...stored, profile };
      const [now] = await db.short<Pick<UserRow, "profile">>(
        (sql) =>
          sql`select u.profile::text as profile from users u where u.tenant = ${tenant} and u.id = ${id}`,
      );
      return { ...stored, profile: now?.profile ?? "{}" };
    },
    attempt() {
      const adds = { keys: 0, bytes: Buffer.byteLength(user.profile), versions: 0, pending: 0 };
      return server.quotas.within(tenant, adds, () => store(call, user));
    },
  });
}

/** Stores the row, which may be locked: a statement waits only a moment for it. */
async function store(call: Call, { id, key, write }: UserWrite): Promise<StoredUser | undefined> {
  const { tenant } = call.caller;
  const name = userLockName(tenant, id);
  const outcome = await untilUnlocked(call, name, async () => {
    try {
      const written = await runWork<StoredUser>(call.db.lockWaiting, tenant, key, (sql) => ({
        steps: sql`u as (${write(sql)})`,
        reply: sql`
          select array[u.id] as user_ids, json_build_object(
            'id', u.id, 'profile', u.profile::text,
            'created_at', round(extract(epoch from u.created_at) * 1000),
            'updated_at', round(extract(epoch from u.updated_at) * 1000)) as reply
          from u`,
      }));
      return { written };
    } catch (error) {
      if (codeOf(error) !== "55P03") throw error; // lock_not_available
      return { lockedBy: name };
    }
  });
  return isLocked(outcome) ? undefined : outcome.written;
}

export function toUser(user: UserRow | StoredUser): MessageInitShape<typeof UserSchema> {
  return {
    id: user.id,
    profileJson: user.profile,
    createTime: timestampFromDate(new Date(user.created_at)),
    updateTime: timestampFromDate(new Date(user.updated_at)),
  };
}

// What Set and BatchSet store: a checked entry, and the one statement that creates or overwrites entries.

import type { Message } from "@bufbuild/protobuf";
import type { BatchSetEntry } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import * as check from "../checks.js";
import { type Fragment, now, type Refusals, type Run, type Sql } from "../database.js";
import { CortexError } from "../errors.js";
import { live, type Row, written } from "./entry.js";
import type { Place } from "./refuse.js";

/** An entry to store. A user or metadata of undefined stays as it was; null clears it. */
export interface Write extends Place {
  value: string;
  userId: string | null | undefined;
  metadata: string | null | undefined;
  ttlSeconds: number | undefined;
}

/** The fields that SetRequest and BatchSetEntry share. */
type WriteMessage = Omit<BatchSetEntry, keyof Message>;

export function checkWrite(
  tenant: string,
  namespace: string,
  message: WriteMessage,
  valueBytesMax: number,
  prefix = "",
): Write {
  const { userId, clearUserId, metadataJson, clearMetadata, ttlSeconds } = message;
  const field = (name: string) => prefix + name;
  check.exclusive([field("clear_user_id"), clearUserId], [field("user_id"), userId !== undefined]);
  check.exclusive(
    [field("clear_metadata"), clearMetadata],
    [field("metadata_json"), metadataJson !== undefined],
  );
  return {
    tenant,
    namespace,
    key: check.key(message.key, field("key")),
    value: check.json(message.valueJson, field("value_json"), valueBytesMax),
    userId: clearUserId
      ? null
      : userId === undefined
        ? undefined
        : check.userId(userId, field("user_id")),
    metadata: clearMetadata
      ? null
      : metadataJson === undefined
        ? undefined
        : check.jsonObject(metadataJson, field("metadata_json")),
    ttlSeconds:
      ttlSeconds === undefined ? undefined : check.ttlSeconds(ttlSeconds, field("ttl_seconds")),
  };
}

/**
 * Creates or overwrites entries, all or none, in key order (so that two batches cannot wait for each other in a circle).
 * With `ifAbsent`, an entry that exists is left alone and its row does not come back.
 */
export function upsert(run: Run, writes: Write[], { ifAbsent = false } = {}): Promise<Row[]> {
  const column = <T>(of: (write: Write) => T) => writes.map(of);
  return run<Row>(
    (sql) =>
      written(
        sql,
        sql`
        insert into mutable as m
          (tenant, namespace, key, value, user_id, metadata, created_at, updated_at, expire_at, revision, created_revision)
        select tenant, namespace, key, value::json, user_id, coalesce(metadata, '{}')::json,
          at, at, at + ttl * interval '1 second', revision, revision
        from (
          select *, ${now(sql)} as at, nextval('revision') as revision
          from unnest(
            ${column((w) => w.tenant)}::text[], ${column((w) => w.namespace)}::text[], ${column((w) => w.key)}::text[],
            ${column((w) => w.value)}::text[], ${column((w) => w.userId ?? null)}::text[],
            ${column((w) => w.metadata ?? null)}::text[], ${column((w) => w.ttlSeconds ?? null)}::float8[]
          ) as entry (tenant, namespace, key, value, user_id, metadata, ttl)
          order by tenant, namespace, key
        ) as entry
        on conflict (tenant, namespace, key) do update set
          value = excluded.value,
          user_id = case when ${live(sql)} and ${kept(sql, writes, "userId")} then m.user_id else excluded.user_id end,
          metadata = case when ${live(sql)} and ${kept(sql, writes, "metadata")} then m.metadata else excluded.metadata end,
          created_at = case when ${live(sql)} then m.created_at else excluded.created_at end,
          updated_at = case when ${live(sql)} then ${now(sql)} else excluded.updated_at end,
          expire_at = ${now(sql)} + (excluded.expire_at - excluded.created_at),
          revision = nextval('revision'),
          created_revision = case when ${live(sql)} then m.created_revision else excluded.created_revision end
        where ${ifAbsent ? sql`not ${live(sql)}` : sql`true`}`,
      ),
    unknownUser(run, writes),
  );
}

/** Whether the entry that is being overwritten keeps what the write does not give. */
function kept(sql: Sql, writes: Write[], part: "userId" | "metadata"): Fragment {
  const keeping = writes.filter((write) => write[part] === undefined);
  if (keeping.length === 0) return sql`false`;
  if (keeping.length === writes.length) return sql`true`;
  return sql`excluded.key = any(${keeping.map((write) => write.key)}::text[])`;
}

/** A foreign key of the database says that a user is missing; a second look says which. */
export function unknownUser(run: Run, writes: Write[]): Refusals {
  return {
    async "23503"() {
      const ids = [...new Set(writes.flatMap((write) => write.userId ?? []))];
      const [missing] = await run<{ id: string }>(
        (sql) => sql`
          select id from unnest(${ids}::text[]) as asked (id)
          where not exists (select from users u where u.tenant = ${writes[0]?.tenant ?? ""} and u.id = asked.id)`,
      );
      return new CortexError("USER_NOT_FOUND", { user_id: missing?.id ?? ids[0] ?? "" });
    },
  };
}

// The step of a statement that writes entries which stores replies, from its step `result`.
import type { Fragment, Sql } from "../../postgres/connection.js";
import { isComputed } from "./effect.js";

const kept = (sql: Sql): Fragment => sql`
  case when case when ${isComputed(sql, sql`result`)} then bytes else 0 end + octet_length(metadata::text) > content_max
    then slim_result(cells) else cells end`;

/** Stores the replies of the writes that have a request id and were applied. `areSingle`: each has one operation. */
export const storedReplies = (sql: Sql, areSingle: boolean): Fragment => sql`, stored_reply as (
  insert into request (tenant, id, fingerprint, reply, user_ids, bytes)
  select tenant, request, seal(fingerprint), reply, user_ids, octet_length(reply::text)
  from (
    ${
      areSingle
        ? sql`select tenant, request, fingerprint, json_build_array(${kept(sql)}) as reply,
              case when user_id is null then '{}' else array[user_id] end as user_ids
            from result where request is not null and refusal is null and over_quota is null and not large
            offset 0`
        : sql`select tenant, request, fingerprint, json_agg(${kept(sql)} order by number) as reply,
              coalesce(array_agg(distinct user_id) filter (where user_id is not null), '{}') as user_ids
            from result where request is not null
            group by write, tenant, request, fingerprint
            having bool_and(refusal is null and over_quota is null) and not bool_or(large)`
    }
  ) as made)`;

// Kept replies: the results of a request's operations, as JSON. What the request itself says (the value of a set) is not kept twice.
import type { Fragment, Sql } from "../../postgres/connection.js";
import type { RecordRow } from "../versions/version.js";
import type { Operation, Result } from "./apply.js";
import type { Row } from "./entry.js";

export type Cells = [
  namespace: string,
  key: string,
  present: boolean,
  deleted: boolean,
  at: number,
  value: string | null,
  userId: string | null,
  metadata: string,
  createdAt: number,
  updatedAt: number,
  expireAt: number | null,
  revision: string,
  accessCount: string,
  accessedAt: number | null,
  agentId: string | null,
  principal: string | null,
];

/** The cells of a row of `life` joined with its accesses `a`; the value only where it is `computed`. */
export function cells(sql: Sql, computed: Fragment): Fragment {
  const ms = (time: Fragment) => sql`round(extract(epoch from ${time}) * 1000)`;
  return sql`json_build_array(life.namespace, life.key, life.present, life.deleted, ${ms(sql`life.at`)},
    case when ${computed} then life.value::text end, life.user_id, life.metadata::text, ${ms(sql`life.created_at`)},
    ${ms(sql`life.updated_at`)}, ${ms(sql`life.expire_at`)}, life.revision::text, coalesce(a.count, 0)::text,
    ${ms(sql`a.accessed_at`)}, life.agent_id, life.principal)`;
}

/** What a step of a transaction gave: an entry, or the version that was stored. */
export type StepResult = Result | { stored: RecordRow };

interface KeptRecord {
  stored: Omit<RecordRow, "created_at" | "first_created_at"> & {
    created_at: number;
    first_created_at: number;
  };
}

export function replyOf(results: StepResult[]): string {
  return JSON.stringify(
    results.map((result): Cells | KeptRecord => {
      if ("stored" in result) return keptRecord(result.stored);
      const { namespace, key, row, deleted, at } = result;
      return [
        namespace,
        key,
        row !== undefined,
        deleted,
        at.getTime(),
        row?.value ?? null,
        row?.user_id ?? null,
        row?.metadata ?? "{}",
        row?.created_at.getTime() ?? 0,
        row?.updated_at.getTime() ?? 0,
        row?.expire_at?.getTime() ?? null,
        row?.revision ?? "0",
        row?.access_count ?? "0",
        row?.accessed_at?.getTime() ?? null,
        row?.agent_id ?? null,
        row?.principal ?? null,
      ];
    }),
  );
}

const keptRecord = ({ created_at, first_created_at, ...row }: RecordRow): KeptRecord => ({
  stored: {
    ...row,
    created_at: created_at.getTime(),
    first_created_at: first_created_at.getTime(),
  },
});

/** The results in a kept reply to the operations, whose arguments are the values that were not kept. */
export const operationResultsIn = (reply: string, operations: Operation[]): Result[] =>
  (JSON.parse(reply) as Cells[]).map((kept, i) => resultOf(kept, operations[i]?.argument));

/** The results in a kept reply of a transaction, which holds all of them whole. */
export const resultsIn = (reply: string): StepResult[] =>
  (JSON.parse(reply) as (Cells | KeptRecord)[]).map((kept) => {
    if (!("stored" in kept)) return resultOf(kept);
    const { created_at, first_created_at, ...row } = kept.stored;
    return {
      stored: {
        ...row,
        created_at: new Date(created_at),
        first_created_at: new Date(first_created_at),
      },
    };
  });

/** The result in the cells of one operation, whose argument is its value where the database did not make it. */
export function resultOf(kept: Cells, argument = ""): Result {
  const date = (ms: number) => new Date(ms);
  const [
    namespace,
    key,
    present,
    deleted,
    at,
    value,
    user_id,
    metadata,
    created,
    updated,
    ...more
  ] = kept;
  const [expire, revision, access_count, accessed, agent_id = null, principal = null] = more;
  const row: Row = {
    namespace,
    key,
    value: value ?? argument,
    user_id,
    metadata,
    created_at: date(created),
    updated_at: date(updated),
    expire_at: expire === null ? null : date(expire),
    revision,
    agent_id,
    principal,
    access_count,
    accessed_at: accessed === null ? null : date(accessed),
  };
  return { namespace, key, row: present ? row : undefined, deleted, at: date(at) };
}

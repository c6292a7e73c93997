// Stored replies: the results of a write's operations as JSON arrays. A value that the request itself has is
// left out. So are a value and metadata that are large together: then the metadata is null.
import type { Fragment, Sql } from "../../postgres/connection.js";
import type { EntryRow } from "./entry.js";
import type { Operation } from "./operation.js";

/** The result of an operation. */
export interface Result {
  namespace: string;
  key: string;
  /** The entry as the operation left it; undefined where there is none. */
  row: EntryRow | undefined;
  /** True if it deleted an entry. */
  deleted: boolean;
  at: Date;
  /** When the entry expires on whose state the operation depended, if it does. Not in stored replies. */
  seenUntil?: Date | null | undefined;
  /** About how many bytes the stored reply keeps of it. Not in stored replies. */
  kept?: number;
}

export type Cells = [
  namespace: string,
  key: string,
  present: boolean,
  deleted: boolean,
  at: number,
  value: string | null,
  userId: string | null,
  metadata: string | null,
  createdAt: number,
  updatedAt: number,
  expireAt: number | null,
  revision: string,
  accessCount: string,
  accessedAt: number | null,
  agentId: string | null,
  principal: string | null,
];

/**
 * The cells of a row of `states` joined with its accesses `a`; with the value only where it is `computed`.
 */
export function cells(sql: Sql, computed: Fragment): Fragment {
  const ms = (time: Fragment) => sql`round(extract(epoch from ${time}) * 1000)`;
  return sql`json_build_array(states.namespace, states.key, states.present, states.deleted, ${ms(sql`states.at`)},
    case when ${computed} then states.value::text end, states.user_id, states.metadata::text, ${ms(sql`states.created_at`)},
    ${ms(sql`states.updated_at`)}, ${ms(sql`states.expire_at`)}, states.revision::text, coalesce(a.count, 0)::text,
    ${ms(sql`a.accessed_at`)}, states.agent_id, states.principal)`;
}

/** The cells of a result; without value and metadata if these have more than `contentMax` bytes. */
export function toCells({ namespace, key, row, deleted, at }: Result, contentMax: number): Cells {
  const isLarge = row !== undefined && contentBytes(row) > contentMax;
  return [
    namespace,
    key,
    row !== undefined,
    deleted,
    at.getTime(),
    isLarge ? null : (row?.value ?? null),
    row?.user_id ?? null,
    isLarge ? null : (row?.metadata ?? "{}"),
    row?.created_at.getTime() ?? 0,
    row?.updated_at.getTime() ?? 0,
    row?.expire_at?.getTime() ?? null,
    row?.revision ?? "0",
    row?.access_count ?? "0",
    row?.accessed_at?.getTime() ?? null,
    row?.agent_id ?? null,
    row?.principal ?? null,
  ];
}

export const contentBytes = ({ value, metadata }: EntryRow): number =>
  Buffer.byteLength(value) + Buffer.byteLength(metadata);

/** What the request itself has of a result. */
interface Known {
  value?: string | undefined;
  metadata?: string | undefined;
}

/** What a result has from the operation itself. */
export const knownOf = ({ kind, argument, metadata }: Operation) => ({
  value: kind === "set" || kind === "replace" ? argument : undefined,
  metadata: metadata === null ? "{}" : metadata,
});

/** The result in cells. `known` takes the place of what they leave out. */
export function fromCells(cells: Cells, known: Known = {}): Result {
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
  ] = cells;
  const [expire, revision, access_count, accessed, agent_id = null, principal = null] = more;
  const row: EntryRow = {
    namespace,
    key,
    value: value ?? known.value ?? "",
    user_id,
    metadata: metadata ?? known.metadata ?? "",
    omitted: (metadata ?? known.metadata) === undefined || (value ?? known.value) === undefined,
    created_at: new Date(created),
    updated_at: new Date(updated),
    expire_at: expire === null ? null : new Date(expire),
    revision,
    agent_id,
    principal,
    access_count,
    accessed_at: accessed === null ? null : new Date(accessed),
  };
  return { namespace, key, row: present ? row : undefined, deleted, at: new Date(at) };
}

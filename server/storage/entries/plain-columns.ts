// The input of the statement of plain writes: an array for each column. Columns that no row of a batch has anything in
// are left out.
import type { Fragment, Sql } from "../../postgres/connection.js";
import type { AtomicWrite } from "./atomic-write.js";
import type { Operation } from "./operation.js";

/** One operation of the input. */
export interface Row {
  operation: Operation;
  write: AtomicWrite;
  writeNumber: number;
}

interface Column {
  name: string;
  type: "text" | "int" | "bigint" | "float8" | "boolean";
  of(row: Row): string | number | null | undefined;
}

/** Columns that are needed together, if any row has something in them. */
interface Feature {
  columns: Column[];
  isNeeded(row: Row): boolean;
  /** Its columns where no row has anything in them. */
  without(sql: Sql): Fragment;
}

const names: Column[] = [
  { name: "tenant", type: "text", of: ({ operation }) => operation.tenant },
  { name: "namespace", type: "text", of: ({ operation }) => operation.namespace },
  { name: "key", type: "text", of: ({ operation }) => operation.key },
  { name: "argument", type: "text", of: ({ operation }) => operation.argument },
];

const features = {
  kinds: {
    columns: [{ name: "kind", type: "text", of: ({ operation }) => operation.kind }],
    isNeeded: ({ operation }) => operation.kind !== "set",
    without: (sql) => sql`'set'::text as kind`,
  },
  conditions: {
    columns: [
      { name: "expects", type: "text", of: ({ operation }) => operation.expects },
      { name: "if_revision", type: "bigint", of: ({ operation }) => operation.ifRevision },
    ],
    isNeeded: ({ operation }) =>
      operation.expects !== undefined || operation.ifRevision !== undefined,
    without: (sql) => sql`null::text as expects, null::bigint as if_revision`,
  },
  options: {
    columns: [
      {
        name: "keeps_user",
        type: "boolean",
        of: ({ operation }) => (operation.userId === undefined ? "true" : "false"),
      },
      { name: "user_id", type: "text", of: ({ operation }) => operation.userId },
      {
        name: "keeps_metadata",
        type: "boolean",
        of: ({ operation }) => (operation.metadata === undefined ? "true" : "false"),
      },
      { name: "metadata", type: "text", of: ({ operation }) => operation.metadata },
      { name: "ttl", type: "float8", of: ({ operation }) => operation.ttlSeconds },
    ],
    isNeeded: ({ operation: { userId, metadata, ttlSeconds } }) =>
      userId !== undefined || metadata !== undefined || ttlSeconds !== undefined,
    without: (sql) =>
      sql`true as keeps_user, null::text as user_id, true as keeps_metadata, null::text as metadata, null::float8 as ttl`,
  },
  callers: {
    columns: [
      { name: "agent", type: "text", of: ({ write }) => write.agent },
      { name: "principal", type: "text", of: ({ write }) => write.principal },
    ],
    isNeeded: ({ write }) => write.agent !== undefined || write.principal !== undefined,
    without: (sql) => sql`null::text as agent, null::text as principal`,
  },
  atomic: {
    columns: [
      { name: "write", type: "int", of: ({ writeNumber }) => writeNumber },
      {
        name: "atomic",
        type: "int",
        of: ({ write, writeNumber }) => (write.operations.length > 1 ? writeNumber : null),
      },
    ],
    isNeeded: ({ write }) => write.operations.length > 1,
    without: (sql) => sql`asked.number::int as write, null::int as atomic`,
  },
  requests: {
    columns: [
      { name: "request", type: "text", of: ({ write }) => write.idempotencyKey?.id },
      { name: "fingerprint", type: "text", of: ({ write }) => write.idempotencyKey?.fingerprint },
      { name: "content_max", type: "int", of: ({ write }) => write.contentMax },
    ],
    isNeeded: ({ write }) => write.idempotencyKey !== undefined,
    without: (sql) =>
      sql`null::text as request, null::text as fingerprint, null::int as content_max`,
  },
} satisfies Record<string, Feature>;

type FeatureName = keyof typeof features;
const featureNames = Object.keys(features) as FeatureName[];
export type Needs = Record<FeatureName, boolean>;

/** Which features the rows need. */
export const needsOf = (rows: Row[]): Needs =>
  Object.fromEntries(
    featureNames.map((name) => [name, rows.some(features[name].isNeeded)]),
  ) as Needs;

/** A text for each set of features. */
export const idOf = (needs: Needs): string =>
  featureNames.map((name) => (needs[name] ? 1 : 0)).join("");

/** The columns that are sent. */
export const columnsOf = (needs: Needs): Column[] => [
  ...names,
  ...featureNames.flatMap((name): Column[] => (needs[name] ? features[name].columns : [])),
];

/** The other columns, which are the same in all rows. */
export const columnsWithout = (sql: Sql, needs: Needs): Fragment[] =>
  featureNames.flatMap((name) => (needs[name] ? [] : [features[name].without(sql)]));

// A conditional write that changed no row is explained by a second look. If by then the condition holds, the write is tried
// again: a call is refused only for what was true at some moment while it ran.
import type { Fragment, Run, Sql } from "../database.js";
import { CortexError } from "../errors.js";
import { at } from "./entry.js";

export interface Place {
  tenant: string;
  namespace: string;
  key: string;
}

export async function until<T>(
  attempt: () => Promise<T | undefined>,
  refusal: () => Promise<CortexError | undefined>,
): Promise<T> {
  for (;;) {
    const done = await attempt();
    if (done !== undefined) return done;
    const reason = await refusal();
    if (reason) throw reason;
  }
}

export interface Look {
  revision: string;
  type: string;
  accepted: boolean | null;
  bytes: number | null;
}

/** What is under the key now; with the columns that an operation asks about. */
export async function look(
  run: Run,
  { tenant, namespace, key }: Place,
  more: (sql: Sql) => Fragment = (sql) => sql``,
): Promise<Look | undefined> {
  const [found] = await run<Look>(
    (sql) => sql`
      select m.revision, json_typeof(m.value) as type ${more(sql)}
      from mutable m where ${at(sql, tenant, namespace, key)}`,
  );
  return found;
}

/** REVISION_MISMATCH, unless the entry is at the revision after all. */
export function atRevision(
  { namespace, key }: Place,
  expected: string,
  found: Look | undefined,
): CortexError | undefined {
  if (found?.revision === expected) return undefined;
  return new CortexError("REVISION_MISMATCH", {
    namespace,
    key,
    expected_revision: expected,
    current_revision: found?.revision ?? "0",
  });
}

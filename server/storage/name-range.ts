// Ranges of names, bytewise: those of a scope, those with a prefix.
import { CortexError } from "../errors/reasons.js";
import type { Fragment, Sql } from "../postgres/connection.js";
import * as check from "../validation/fields.js";
import { belowScope, firstName, pastScope } from "../validation/scope.js";
import { afterPrefix } from "./page-token.js";

/** Names from `low` up to `high`, exclusive. */
export interface NameRange {
  low: string;
  /** undefined: to the last one. */
  high: string | undefined;
}

/** The names in the scope of a call, or those with a prefix. */
export function namesWithin({ scope }: { scope: string }, prefix?: string): NameRange {
  if (prefix === undefined && scope === "") return { low: firstName, high: undefined };
  const low = prefix === undefined ? scope : check.namePrefix(prefix);
  return { low, high: afterPrefix(low) };
}

/** The names in the scope of a call and in all scopes below it. Throws INVALID_SCOPE if the call has none. */
export function rangeOf({ scope }: { scope: string }): NameRange {
  if (scope === "")
    throw new CortexError("INVALID_SCOPE", { field: "scope", problem: "is missing" });
  return { low: scope, high: pastScope(scope) };
}

/** The names in the scopes below that of a call; without one: in all scopes. */
export const innerRange = ({ scope }: { scope: string }): NameRange & { high: string } => ({
  low: belowScope(scope),
  high: pastScope(scope),
});

/** The condition that a name is in a range. */
export const isIn = (sql: Sql, name: Fragment, { low, high }: NameRange): Fragment =>
  sql`${name} >= ${low} ${high === undefined ? sql`` : sql`and ${name} < ${high}`}`;

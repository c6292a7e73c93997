// The range of the names in a scope and below it, and of those of the scopes in it.
import { CortexError } from "../../errors/reasons.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import { belowScope, pastScope } from "../../validation/scope.js";

/** Names from `low` up to `high`, exclusive. */
export interface NameRange {
  low: string;
  high: string;
}

/** The range of the scope of a call and of all below it. Throws INVALID_SCOPE if the call has none. */
export function rangeOf({ scope }: { scope: string }): NameRange {
  if (scope === "")
    throw new CortexError("INVALID_SCOPE", { field: "scope", problem: "is missing" });
  return { low: scope, high: pastScope(scope) };
}

/** The range of what is below the scope of a call; in none: of all scopes. */
export const innerRange = ({ scope }: { scope: string }): NameRange => ({
  low: belowScope(scope),
  high: pastScope(scope),
});

/** The condition that a name is in a range. */
export const isIn = (sql: Sql, name: Fragment, { low, high }: NameRange): Fragment =>
  sql`${name} >= ${low} and ${name} < ${high}`;

// When the first of the entries expires that a transaction has seen live. The transaction may have decided by
// such an entry, a lease for example, so it must commit before.
import { CortexError } from "../../errors/reasons.js";
import type { Run } from "../../postgres/connection.js";
import type { EntryKey } from "../entries/entry.js";

export class SeenExpiry {
  #first: Date | undefined;

  note(expiresAt: Date | null | undefined): void {
    if (expiresAt && (this.#first === undefined || expiresAt < this.#first))
      this.#first = expiresAt;
  }

  /** Notes the entries of preconditions, which were live and whose rows are locked since. */
  async noteChecked(run: Run, tenant: string, checks: EntryKey[]): Promise<void> {
    const [row] = await run<{ first: Date | null }>(
      (sql) => sql`
        select min(m.expire_at) as first
        from unnest(${checks.map((c) => c.namespace)}::text[], ${checks.map((c) => c.key)}::text[]) as checked (namespace, key)
        join mutable m on m.tenant = ${tenant} and m.namespace = checked.namespace and m.key = checked.key`,
    );
    this.note(row?.first);
  }

  /** Throws CONFLICT if one has expired. Runs as the last statement before the commit. */
  async check(run: Run): Promise<void> {
    const first = this.#first;
    if (first === undefined) return;
    const [row] = await run<{ expired: boolean }>(
      (sql) => sql`select clock_timestamp() >= ${first} as expired`,
    );
    if (row?.expired) throw new CortexError("CONFLICT");
  }
}

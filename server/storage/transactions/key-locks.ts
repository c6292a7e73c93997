// The keys that a transaction has locked: the row of each that exists, and the name of each that does not.
import type { Run } from "../../postgres/connection.js";
import type { DatabaseTransaction } from "../../postgres/transaction.js";
import { lockCreation, lockSpace, namesMax } from "../creation.js";
import type { EntryKey } from "../entries/entry.js";

export class LockedKeys {
  /** How many names it has locked. */
  #names = 0;

  /** Locks keys, given in the order in which everybody locks them. */
  async lock(transaction: DatabaseTransaction, keys: EntryKey[]): Promise<void> {
    const { run } = transaction;
    const many = this.#names + keys.length > namesMax;
    const absent = await lockRows(run, keys, !many);
    if (absent.length === 0) return;
    if (many) await lockNamespaces(transaction, absent);
    else this.#names += absent.length;
    await lockRows(run, absent, false); // somebody may have created one before its name was locked
  }
}

/** Locks the rows of keys. Gives the keys that have no row, and locks their names if asked to. */
async function lockRows(run: Run, keys: EntryKey[], locksNames: boolean): Promise<EntryKey[]> {
  const rows = await run<{ number: string; absent: boolean }>((sql) => {
    const name = {
      tenant: sql`asked.tenant`,
      space: sql`asked.namespace`,
      name: sql`asked.key`,
      isNew: sql`true`,
      many: false,
    };
    return sql`
      select asked.number, held.revision is null as absent,
        case when held.revision is null then ${locksNames ? lockCreation(sql, "entry", name, "wait") : sql`null`} end as blocked
      from unnest(
        ${keys.map((k) => k.tenant)}::text[], ${keys.map((k) => k.namespace)}::text[], ${keys.map((k) => k.key)}::text[]
      ) with ordinality as asked (tenant, namespace, key, number)
      left join lateral (
        select m.revision from mutable m where m.tenant = asked.tenant and m.namespace = asked.namespace and m.key = asked.key
        for no key update
      ) as held on true`;
  });
  return rows.flatMap(({ number, absent }) =>
    absent ? [keys[Number(number) - 1] as EntryKey] : [],
  );
}

async function lockNamespaces(transaction: DatabaseTransaction, keys: EntryKey[]): Promise<void> {
  const namespaces = new Map(keys.map(({ tenant, namespace }) => [namespace, tenant]));
  for (const [namespace, tenant] of [...namespaces].sort(([a], [b]) => (a < b ? -1 : 1)))
    await lockSpace(transaction, "entry", tenant, namespace);
}

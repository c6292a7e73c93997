// The versions that a transaction will store. It stores them when it commits, so that their times are those of
// the commit: an answer about the past would change if a version appeared whose time is long gone.
import { CortexError } from "../../errors/reasons.js";
import type { Run } from "../../postgres/connection.js";
import type { DatabaseTransaction } from "../../postgres/transaction.js";
import { lockName, type Space } from "../creation.js";
import type { CreationLocks } from "../creation-locks.js";
import { toConflict } from "../idempotency.js";
import type { NewVersion } from "./new-version.js";
import { firstKept } from "./statement.js";
import type { RecordRow, Unstamped } from "./version.js";
import { versionMismatch, versionWrites } from "./write.js";

/** The result of a store: without the time and digest of the version until the transaction commits. */
export interface Stored {
  stored: Unstamped<RecordRow>;
}

/** The state of a record that the next version follows from. */
type State = Pick<RecordRow, "version" | "first_version" | "user_id" | "metadata"> & {
  /** null: the record does not exist yet. */
  first_created_at: Date | null;
};

export class PendingVersions {
  readonly #pending: { version: NewVersion; result: Stored }[] = [];
  /** The states of the records as the transaction leaves them, by lock name. */
  readonly #states = new Map<string, State>();

  /**
   * Locks the records that are not locked yet, so that nobody else stores in them, and reads their states. Gives
   * the types that it has locked alone.
   */
  async lock(
    transaction: DatabaseTransaction,
    creations: CreationLocks,
    versions: NewVersion[],
  ): Promise<Space[]> {
    const fresh = new Map(versions.map((version) => [nameOf(version), version]));
    for (const name of this.#states.keys()) fresh.delete(name);
    if (fresh.size === 0) return [];
    const names = [...fresh.keys()].sort(); // in the order in which everybody locks
    return creations.lock(transaction, {
      kind: "record",
      rows: names.map((name) => fresh.get(name) as NewVersion),
      spaceOf: ({ tenant, type }) => ({ tenant, space: type }),
      lockRows: async (records, locksNames) => {
        const states = await lockRecords(transaction.run, records, locksNames);
        for (const [i, record] of records.entries())
          this.#states.set(nameOf(record), states[i] as State);
        return records.filter((_, i) => states[i]?.version === 0);
      },
    });
  }

  /** Checks versions of locked records. `refused` makes the error of a version that is refused. */
  async add(
    run: Run,
    versions: NewVersion[],
    refused: (reason: CortexError, index: number) => CortexError,
  ): Promise<Stored[]> {
    const users = await knownUsers(run, versions);
    return versions.map((version, i) => {
      const before = this.#states.get(nameOf(version)) as State;
      const { ifVersion, userId, metadata } = version;
      if (ifVersion !== undefined && ifVersion !== before.version)
        throw refused(versionMismatch(version, before.version), i);
      if (userId != null && !users.has(userId))
        throw refused(new CortexError("USER_NOT_FOUND", { user_id: userId }), i);
      const next = before.version + 1;
      const state: State = {
        version: next,
        first_version: firstKept(before.first_version, next, version.keep),
        user_id: userId === undefined ? before.user_id : userId,
        metadata: metadata === null ? "{}" : (metadata ?? before.metadata),
        first_created_at: before.first_created_at,
      };
      this.#states.set(nameOf(version), state);
      const result = { stored: unstamped(version, state) };
      this.#pending.push({ version: { ...version, ifVersion: before.version }, result });
      return result;
    });
  }

  /** Stores the versions, in rounds of distinct records, and completes the results. */
  async store(run: Run): Promise<void> {
    let left = [...this.#pending];
    while (left.length > 0) {
      const round = new Map(left.toReversed().map((one) => [nameOf(one.version), one]));
      left = left.filter((one) => round.get(nameOf(one.version)) !== one);
      const stores = [...round.keys()]
        .sort()
        .map((name) => round.get(name) as (typeof left)[number]);
      const versions = stores.map(({ version }) => version);
      const outcomes = await versionWrites.runAlone(run, versions, "held", 1).catch(toConflict);
      for (const [i, { result }] of stores.entries()) {
        const outcome = outcomes[i];
        if (!outcome || !("result" in outcome)) throw new CortexError("CONFLICT");
        result.stored = outcome.result;
      }
    }
  }
}

/**
 * Locks records and reads their states. A record that does not exist has version 0; its name is locked if asked
 * to.
 */
function lockRecords(run: Run, records: NewVersion[], locksNames: boolean): Promise<State[]> {
  return run<State>((sql) => {
    const name = { tenant: sql`asked.tenant`, space: sql`asked.type`, name: sql`asked.id` };
    return sql`
      select coalesce(h.version, 0) as version, coalesce(h.first_version, 1) as first_version, h.user_id, coalesce(h.metadata, '{}') as metadata,
        h.first_created_at,
        case when h.version is null then ${locksNames ? lockName(sql, "record", name) : sql`null`} end as locked
      from unnest(
        ${records.map((v) => v.tenant)}::text[], ${records.map((v) => v.type)}::text[], ${records.map((v) => v.id)}::text[]
      ) with ordinality as asked (tenant, type, id, number)
      left join lateral (
        select h.version, h.first_version, h.user_id, h.metadata::text as metadata, h.first_created_at
        from immutable h where h.tenant = asked.tenant and h.type = asked.type and h.id = asked.id
        for no key update
      ) as h on true`;
  });
}

function unstamped(version: NewVersion, state: State): Unstamped<RecordRow> {
  const { type, id, data, agentId, principal, requestId } = version;
  const { first_created_at, ...rest } = state;
  return {
    ...rest,
    type,
    id,
    data,
    agent_id: agentId ?? null,
    principal: principal ?? null,
    request_id: requestId ?? null,
    ...(first_created_at && { first_created_at }),
  };
}

const nameOf = ({ keys }: NewVersion): string => keys[0] as string;

/** Those of the users whom the versions name that exist. */
async function knownUsers(run: Run, versions: NewVersion[]): Promise<Set<string>> {
  const named = [...new Set(versions.flatMap(({ userId }) => userId ?? []))];
  const [tenant] = versions.map((version) => version.tenant);
  if (named.length === 0 || tenant === undefined) return new Set();
  const rows = await run<{ id: string }>(
    (sql) =>
      sql`select u.id from users u where u.tenant = ${tenant} and u.id = any(${named}::text[])`,
  );
  return new Set(rows.map(({ id }) => id));
}

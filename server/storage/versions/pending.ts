// The versions that a transaction will store. It stores them when it commits, so that their times are those of
// the commit: an answer about the past would change if a version appeared whose time is long gone.
import { CortexError } from "../../errors/reasons.js";
import type { Run } from "../../postgres/connection.js";
import type { DatabaseTransaction } from "../../postgres/transaction.js";
import { lockCreation, lockSpace, namesMax } from "../creation.js";
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
  /** How many names of records that do not exist it has locked. */
  #names = 0;

  /**
   * Locks the records, so that nobody else stores in them, and checks the versions. `refused` makes the error
   * of a version that is refused.
   */
  async add(
    transaction: DatabaseTransaction,
    versions: NewVersion[],
    refused: (reason: CortexError, index: number) => CortexError,
  ): Promise<Stored[]> {
    await this.#lock(transaction, versions);
    const users = await knownUsers(transaction.run, versions);
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

  /** Locks the records that are not locked yet, and reads their states. */
  async #lock(transaction: DatabaseTransaction, versions: NewVersion[]): Promise<void> {
    const { run } = transaction;
    const fresh = new Map(versions.map((version) => [nameOf(version), version]));
    for (const name of this.#states.keys()) fresh.delete(name);
    if (fresh.size === 0) return;
    const names = [...fresh.keys()].sort(); // in the order in which everybody locks
    const many = this.#names + fresh.size > namesMax;
    const read = async (names: string[], locksNames: boolean) => {
      const records = names.map((name) => fresh.get(name) as NewVersion);
      for (const [i, state] of (await lockRecords(run, records, locksNames)).entries())
        this.#states.set(names[i] as string, state);
    };
    await read(names, !many);
    const absent = names.filter((name) => this.#states.get(name)?.version === 0);
    if (absent.length === 0) return;
    if (many) {
      const types = new Map(absent.map((name) => [fresh.get(name)?.type ?? "", fresh.get(name)]));
      for (const [type, version] of [...types].sort(([a], [b]) => (a < b ? -1 : 1)))
        await lockSpace(transaction, "record", version?.tenant ?? "", type);
    } else this.#names += absent.length;
    await read(absent, false); // somebody may have created one before its name was locked
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
    const name = {
      tenant: sql`asked.tenant`,
      space: sql`asked.type`,
      name: sql`asked.id`,
      isNew: sql`true`,
      many: false,
    };
    return sql`
      select coalesce(h.version, 0) as version, coalesce(h.first_version, 1) as first_version, h.user_id, coalesce(h.metadata, '{}') as metadata,
        h.first_created_at,
        case when h.version is null then ${locksNames ? lockCreation(sql, "record", name, "wait") : sql`null`} end as blocked
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

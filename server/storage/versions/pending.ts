// The versions that a transaction will store. It stores them when it commits, so that their times are those of
// the commit: an answer about the past would change if a version appeared whose time is long gone.
import { CortexError } from "../../errors/reasons.js";
import { now, type Run, type Sql } from "../../postgres/connection.js";
import { unicodeVersion } from "../../search/searchable.js";
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
   * Locks the records, so that nobody else stores in them, and checks the versions. `refused` makes the error
   * of a version that is refused.
   */
  async add(
    run: Run,
    versions: NewVersion[],
    refused: (reason: CortexError, index: number) => CortexError,
  ): Promise<Stored[]> {
    await this.#lock(run, versions);
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

  /**
   * Locks the records that are not locked yet, and reads their states. It locks a record that does not exist by
   * a placeholder: a row without a version, which nobody else sees and which the commit completes.
   */
  async #lock(run: Run, versions: NewVersion[]): Promise<void> {
    const fresh = new Map(versions.map((version) => [nameOf(version), version]));
    for (const name of this.#states.keys()) fresh.delete(name);
    if (fresh.size === 0) return;
    const names = [...fresh.keys()].sort(); // in the order in which everybody locks
    const sorted = names.map((name) => fresh.get(name) as NewVersion);
    const asked = (sql: Sql) => sql`
      unnest(
        ${sorted.map((v) => v.tenant)}::text[], ${sorted.map((v) => v.type)}::text[], ${sorted.map((v) => v.id)}::text[]
      ) with ordinality as asked (tenant, type, id, number)`;
    await run(
      (sql) => sql`
        insert into immutable as h (tenant, type, id, version, first_version, created_at, first_created_at, metadata, digest,
          unicode, labels, data_text, data_words)
        select asked.tenant, asked.type, asked.id, 0, 1, ${now(sql)}, ${now(sql)}, '{}', '', ${unicodeVersion}, '{}', '', ''
        from ${asked(sql)}
        order by number
        -- On a conflict, nothing is updated (where false), but the row is locked.
        on conflict (tenant, type, id) do update set version = h.version where false`,
    );
    const rows = await run<State>(
      (sql) => sql`
        select h.version, h.first_version, h.user_id, h.metadata::text as metadata,
          case when h.version > 0 then h.first_created_at end as first_created_at
        from ${asked(sql)}
        cross join lateral (
          select h.* from immutable h where h.tenant = asked.tenant and h.type = asked.type and h.id = asked.id offset 0
        ) as h
        order by number`,
    );
    for (const [i, state] of rows.entries()) this.#states.set(names[i] as string, state);
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
      const options = { wait: true, attempts: 1 };
      const outcomes = await versionWrites.run(run, versions, options).catch(toConflict);
      for (const [i, { result }] of stores.entries()) {
        const outcome = outcomes[i];
        if (!outcome || outcome === "locked" || !("result" in outcome))
          throw new CortexError("CONFLICT");
        result.stored = outcome.result;
      }
    }
  }
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

// The database as a call sees it: the connection pools, for its tenant and until its end.
import { CortexError } from "../errors/reasons.js";
import type { Run } from "../postgres/connection.js";
import type { TenantPool } from "../postgres/pool.js";
import type { Pools } from "../postgres/pools.js";
import type { DatabaseTransaction } from "../postgres/transaction.js";
import type { Batchable } from "../runtime/group-commit.js";
import type { GroupCommits } from "../runtime/group-commits.js";
import type { CallCancellation } from "../runtime/in-flight.js";
import { noCallers, type TracePoint } from "../telemetry/telemetry.js";

/** The connection pools by load. Each statement runs for the call's tenant and under its signal. */
export interface CallDatabase {
  /** Runs one short statement. */
  short: Run;
  /** Runs one statement that reads a page of a list in the order of its keys, by nothing but an index. */
  pages: Run;
  /** Runs one long statement that reads: a page of any other list, a count. */
  scans: Run;
  /** Runs one search. */
  searches: Run;
  /** Runs one statement that waits for locks, for a moment at most. */
  lockWaiting: Run;
  /** True if `lockWaiting` has a connection free. */
  canWaitForLock: boolean;
  /** Runs one write that is too large for a batch. */
  large: Run;
  /** Runs the statement of a purge that only counts (a dry run). */
  purges: Run;
  /** Runs an item in a statement that other calls share. */
  submit<Item extends { tenant: string }, Reply>(
    kind: Batchable<Item, Reply>,
    item: Item,
  ): Promise<Reply>;
  /** Begins a transaction that waits for its caller. */
  begin(): Promise<DatabaseTransaction>;
  /** Begins a transaction that waits for nothing but locks. */
  beginCommit(): Promise<DatabaseTransaction>;
  beginPurge(): Promise<DatabaseTransaction>;
}

const gaveWay = "another tenant needed the connection of this transaction, which was idle";

export class Connections implements CallDatabase {
  readonly #tenants: readonly string[];
  readonly #callers: readonly TracePoint[];

  constructor(
    readonly context: { pools: Pools; groupCommits: GroupCommits },
    readonly tenant: string,
    readonly cancellation: CallCancellation,
    /** Where the call is in its trace. */
    readonly caller: TracePoint | undefined,
  ) {
    this.#tenants = [tenant];
    this.#callers = caller ? [caller] : noCallers;
  }

  get short(): Run {
    return this.#run(this.context.pools.short);
  }

  get pages(): Run {
    return this.#run(this.context.pools.pages);
  }

  get scans(): Run {
    return this.#run(this.context.pools.scans);
  }

  get searches(): Run {
    return this.#run(this.context.pools.searches);
  }

  get lockWaiting(): Run {
    return this.#run(this.context.pools.lockWaiting);
  }

  get canWaitForLock(): boolean {
    return this.context.pools.lockWaiting.isFree(this.tenant);
  }

  get large(): Run {
    return this.#run(this.context.pools.large);
  }

  get purges(): Run {
    return this.#run(this.context.pools.purges);
  }

  submit<Item extends { tenant: string }, Reply>(
    kind: Batchable<Item, Reply>,
    item: Item,
  ): Promise<Reply> {
    return this.context.groupCommits.of(kind).submit(item, this.cancellation, this.caller);
  }

  begin(): Promise<DatabaseTransaction> {
    const { cancellation } = this;
    return this.#begin(this.context.pools.transactions, () =>
      cancellation.cancel(new CortexError("CONFLICT", { applied: "no", problem: gaveWay })),
    );
  }

  beginCommit(): Promise<DatabaseTransaction> {
    return this.#begin(this.context.pools.commits);
  }

  beginPurge(): Promise<DatabaseTransaction> {
    return this.#begin(this.context.pools.purges);
  }

  #run(pool: TenantPool): Run {
    return pool.run(this.#tenants, this.cancellation.signal, this.#callers);
  }

  #begin(pool: TenantPool, giveWay?: () => void): Promise<DatabaseTransaction> {
    return pool.begin(this.tenant, this.cancellation.signal, giveWay, this.#callers);
  }
}

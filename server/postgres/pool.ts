// A pool of connections with a queue in front. A call waits for a connection that is its own until it gives it back: for one statement,
// or for a transaction of several. Each connection works for one tenant at a time (for those of the calls that share a statement), and
// reaches the rows of no other (migration 0005).

import { codeOf } from "../errors/reasons.js";
import {
  connect,
  type Executor,
  type Fragment,
  type Run,
  type Sql,
  type StartStatement,
  sessionParameters,
  tenantViews,
} from "./connection.js";
import { FairSemaphore } from "./fair-semaphore.js";
import { DatabaseTransaction } from "./transaction.js";

export interface TenantPoolOptions {
  size: number;
  /** How many may wait for a connection. */
  queueMax: number;
  /** How many more there are, so that others find one where one tenant holds all it may. */
  spare?: number;
  statementSeconds: number;
  /** What its connections are told when they open, besides. */
  parameters?: Record<string, string | number>;
  /** Whether its statements are the server's own, and reach the rows of all tenants. */
  allTenants?: boolean;
}

const deadlockTimeoutMs = 100;

export class TenantPool {
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();
  readonly #turns: FairSemaphore;

  constructor(
    readonly url: string,
    readonly executor: Executor,
    readonly options: TenantPoolOptions,
  ) {
    const { size, spare = 0, queueMax } = options;
    this.#turns = new FairSemaphore(size + spare, size, queueMax);
  }

  /** Runs single statements for tenants, under a signal, whose reason they fail with when it aborts. */
  run(tenants: readonly string[], signal: AbortSignal): Run {
    const scope = scopeText(tenants);
    return async <T>(build: (sql: Sql) => Fragment) => {
      const connection = await this.#take(scope, signal);
      try {
        return (await this.executor.execute(connection.scoped(scope, build), signal)) as T[];
      } finally {
        this.#give(connection, scope);
      }
    };
  }

  /** Begins a transaction for a tenant, once there is a connection for it. */
  async begin(tenant: string, signal: AbortSignal): Promise<DatabaseTransaction> {
    const scope = scopeText([tenant]);
    const connection = await this.#take(scope, signal);
    const give = (broken: boolean) => {
      if (broken) this.#discard(connection);
      this.#give(connection, scope);
    };
    try {
      await connection.findDeadlocksFast();
      await this.executor.execute(
        connection.scoped(scope, (sql) => sql`begin`),
        signal,
      );
    } catch (error) {
      give(true); // whatever state it is in
      throw error;
    }
    return new DatabaseTransaction(connection, this.executor, signal, give);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map(({ sql }) => sql.end({ timeout: 1 })));
  }

  /** A connection: one that worked within the scope last, if there is one. */
  async #take(scope: string, signal: AbortSignal): Promise<Connection> {
    await this.#turns.acquire(signal, scope);
    const place = this.#idle.findLastIndex((connection) => connection.scope === scope);
    const [kept] = this.#idle.splice(place, 1); // -1: the last
    if (kept) return kept;
    const connection = new Connection(this.url, this.options);
    this.#all.add(connection);
    return connection;
  }

  #discard(connection: Connection): void {
    this.#all.delete(connection);
    void connection.sql.end({ timeout: 1 });
  }

  #give(connection: Connection, scope: string): void {
    if (this.#all.has(connection)) this.#idle.push(connection);
    this.#turns.release(scope);
  }
}

export class Connection {
  /** Whom it works for; undefined: nobody yet. */
  scope: string | undefined;
  /** How often it was lost. What comes after is another connection of Postgres. */
  losses = 0;
  readonly sql: Sql;
  readonly #whole: boolean;
  #hurries = -1;

  constructor(
    url: string,
    { statementSeconds, parameters, allTenants = false }: TenantPoolOptions,
  ) {
    this.#whole = allTenants;
    this.sql = connect(url, {
      max: 1,
      onclose: () => {
        this.losses++;
        this.scope = undefined;
      },
      connection: {
        ...sessionParameters(statementSeconds),
        ...parameters,
        ...(!allTenants && tenantViews),
      },
    });
  }

  /**
   * Runs a statement within a scope. Whom it works for the connection is told just before, in the same packet, where that is nobody whom it
   * worked for until then: should it not hear, the statement finds nothing, or is refused, and is run again. Else it is told first, so that
   * what fails for want of a connection is also known not to have been sent.
   */
  scoped(scope: string, build: (sql: Sql) => Fragment): StartStatement {
    return async () => {
      const { scope: before } = this;
      if (this.#whole || before === scope) return [build(this.sql), heard];
      if (before !== undefined && disjoint(before, scope)) {
        const told = this.#tell(scope);
        return [build(this.sql), told];
      }
      this.scope = undefined;
      await this.#set(scope);
      this.scope = scope;
      return [build(this.sql), heard];
    };
  }

  #set(scope: string): Promise<unknown> {
    return this.sql`select set_config('cortex.tenants', ${scope}, false)`.execute();
  }

  #tell(scope: string): Promise<boolean> {
    this.scope = scope;
    return this.#set(scope).then(
      () => true,
      () => {
        this.scope = undefined;
        return false;
      },
    );
  }

  /** Deadlocks are to be found fast. Only some may say so; for the others the database's own setting holds (1 s). */
  async findDeadlocksFast(): Promise<void> {
    if (this.#hurries === this.losses) return;
    try {
      await this.sql`select set_config('deadlock_timeout', ${`${deadlockTimeoutMs}`}, false)`;
    } catch (error) {
      if (codeOf(error) !== "42501") throw error; // insufficient_privilege
    }
    this.#hurries = this.losses;
  }
}

const heard = Promise.resolve(true);

/** The tenants as lines: what the views of migration 0005 ask. */
export const scopeText = (tenants: readonly string[]): string => `\n${tenants.join("\n")}\n`;

const disjoint = (one: string, other: string): boolean =>
  !one.split("\n").some((tenant, i, { length }) => {
    const within = i > 0 && i < length - 1; // the first and the last are what is outside of the lines
    return within && other.includes(`\n${tenant}\n`);
  });

// One connection of a pool, and the tenants whose rows it reaches: the views of migration 0005 (moved by
// 0006) show no other.
import { codeOf } from "../errors/sqlstate.js";
import { connect, type Fragment, type Sockets, type Sql, tenantViews } from "./connection.js";

/**
 * Sends a statement. Gives the running query, and a promise that tells whether its connection was set to the
 * tenants of the statement. If it was not, the statement could reach no row of these tenants, so it did
 * nothing.
 */
export type StartStatement = () => Promise<[Fragment, Promise<boolean>]>;

export interface ConnectionOptions {
  statementSeconds: number;
  /** Session parameters besides those of every connection. */
  parameters?: Record<string, string | number>;
  /** For the server's own statements: they reach the rows of all tenants. */
  allTenants?: boolean;
}

/**
 * Fields of the driver's statements that its types lack. A statement is active once it was sent; `state` is the
 * backend that it was sent to.
 */
export interface Driver {
  active?: boolean;
  state?: { pid: number };
}

const deadlockTimeoutMs = 40; // less than a transaction waits at a time for all of a namespace (storage/creation.ts)

export class TenantConnection {
  /** The tenants it works for, as `scopeText` writes them; undefined: none yet. */
  scope: string | undefined;
  /** How often the connection was lost. The driver then opens a new one, with another Postgres session. */
  losses = 0;
  readonly sql: Sql;
  readonly statementSeconds: number;
  /** The statement that was given to the driver last. */
  current: Driver | undefined;
  readonly #sockets: Sockets = new Set();
  readonly #allTenants: boolean;
  #deadlockTimeoutSetAt = -1;

  constructor(
    url: string,
    { statementSeconds, parameters, allTenants = false }: ConnectionOptions,
  ) {
    this.#allTenants = allTenants;
    this.statementSeconds = statementSeconds;
    const options = {
      max: 1,
      onclose: () => {
        this.losses++;
        this.scope = undefined;
      },
      connection: {
        application_name: "cortex-store",
        statement_timeout: Math.round(statementSeconds * 1000),
        ...parameters,
        ...(!allTenants && tenantViews),
      },
    };
    this.sql = connect(url, options, this.#sockets);
  }

  /**
   * Ends the connection for good and at once: a statement on its way fails, as its connection is lost. The
   * driver ends first: it would open a socket anew that is closed while it connects.
   */
  async destroy(): Promise<void> {
    await this.sql.end({ timeout: 0 });
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Ends the connection, within a second also if it is silent. */
  async end(): Promise<void> {
    await this.sql.end({ timeout: 1 });
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Builds a statement, which is the one on its way from now on. */
  build(build: (sql: Sql) => Fragment): Fragment {
    return this.#track(build(this.sql));
  }

  #track<T>(query: T): T {
    this.current = query as Driver;
    return query;
  }

  /**
   * Starts a statement for these tenants. If the connection is not set to exactly these tenants, `set_config`
   * is sent first. Its answer is not awaited if the old and the new tenants have none in common. If it then
   * fails, the statement runs for the old tenants: it finds no row or is refused, and the executor runs it
   * again. In all other cases the answer is awaited, so a failure comes before the statement is sent.
   */
  start(scope: string, build: (sql: Sql) => Fragment): StartStatement {
    return async () => {
      const { scope: before } = this;
      if (this.#allTenants || before === scope) return [this.build(build), isSet];
      if (before !== undefined && areDisjoint(before, scope)) {
        const tenantSet = this.#pipelineScope(scope);
        return [this.build(build), tenantSet];
      }
      this.scope = undefined;
      await this.#setScope(scope);
      this.scope = scope;
      return [this.build(build), isSet];
    };
  }

  #setScope(scope: string): Promise<unknown> {
    return this.#track(this.sql`select set_config('cortex.tenants', ${scope}, false)`).execute();
  }

  #pipelineScope(scope: string): Promise<boolean> {
    this.scope = scope;
    return this.#setScope(scope).then(
      () => true,
      () => {
        this.scope = undefined;
        return false;
      },
    );
  }

  /**
   * Lowers deadlock_timeout, which only some roles may do; for others the database's own setting (1 s) stays.
   */
  async findDeadlocksFast(): Promise<void> {
    if (this.#deadlockTimeoutSetAt === this.losses) return;
    try {
      await this.#track(
        this.sql`select set_config('deadlock_timeout', ${`${deadlockTimeoutMs}`}, false)`,
      );
    } catch (error) {
      if (codeOf(error) !== "42501") throw error; // insufficient_privilege
    }
    this.#deadlockTimeoutSetAt = this.losses;
  }
}

const isSet = Promise.resolve(true);

/**
 * Joins the tenants with newlines, and adds a newline before the first and after the last. The views look for
 * a tenant between two newlines.
 */
export const scopeText = (tenants: readonly string[]): string => `\n${tenants.join("\n")}\n`;

const areDisjoint = (one: string, other: string): boolean =>
  !one.split("\n").some((tenant, i, { length }) => {
    const isTenant = i > 0 && i < length - 1; // the parts at the ends are empty, and not the tenant ""
    return isTenant && other.includes(`\n${tenant}\n`);
  });

// One connection of a pool, and the tenants whose rows it reaches: the views of migration 0005 (moved by
// 0006) show no other.
import { codeOf } from "../errors/sqlstate.js";
import { connect, type Fragment, type Sql, tenantViews } from "./connection.js";
import type { StartStatement } from "./executor.js";

export interface ConnectionOptions {
  statementSeconds: number;
  /** Session parameters besides those of every connection. */
  parameters?: Record<string, string | number>;
  /** For the server's own statements: they reach the rows of all tenants. */
  allTenants?: boolean;
}

const deadlockTimeoutMs = 100;

export class TenantConnection {
  /** The tenants it works for, as `scopeText` writes them; undefined: none yet. */
  scope: string | undefined;
  /** How often the connection was lost. The driver then opens a new one, with another Postgres session. */
  losses = 0;
  readonly sql: Sql;
  readonly #allTenants: boolean;
  #deadlockTimeoutSetAt = -1;

  constructor(
    url: string,
    { statementSeconds, parameters, allTenants = false }: ConnectionOptions,
  ) {
    this.#allTenants = allTenants;
    this.sql = connect(url, {
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
    });
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
      if (this.#allTenants || before === scope) return [build(this.sql), isSet];
      if (before !== undefined && areDisjoint(before, scope)) {
        const tenantSet = this.#pipelineScope(scope);
        return [build(this.sql), tenantSet];
      }
      this.scope = undefined;
      await this.#setScope(scope);
      this.scope = scope;
      return [build(this.sql), isSet];
    };
  }

  #setScope(scope: string): Promise<unknown> {
    return this.sql`select set_config('cortex.tenants', ${scope}, false)`.execute();
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
      await this.sql`select set_config('deadlock_timeout', ${`${deadlockTimeoutMs}`}, false)`;
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

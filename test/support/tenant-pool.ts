// Makes a connection pool without a server around it. By default its statements reach the rows of all
// tenants.
import { Executor } from "../../server/postgres/executor.js";
import { TenantPool } from "../../server/postgres/pool.js";

export function tenantPool(url: string, size: number, { allTenants = true } = {}) {
  const executor = new Executor(url, 60);
  const pool = new TenantPool(url, executor, {
    name: "test",
    size,
    queueMax: 1000,
    statementSeconds: 60,
    allTenants,
  });
  const close = async () => {
    await pool.close();
    await executor.close();
  };
  return {
    pool,
    close,
    run: (tenant = "", signal = new AbortController().signal) => pool.run([tenant], signal),
  };
}

// A lane by itself, for the server's own statements unless it is told otherwise.
import { Executor } from "../../server/postgres/connection.js";
import { TenantPool } from "../../server/postgres/pool.js";

export function laneOf(url: string, size: number, { whole = true } = {}) {
  const executor = new Executor(url, 60);
  const lane = new TenantPool(url, executor, {
    size,
    queueMax: 1000,
    statementSeconds: 60,
    allTenants,
  });
  const close = async () => {
    await lane.close();
    await executor.close();
  };
  return {
    lane,
    close,
    run: (tenant = "", signal = new AbortController().signal) => lane.run([tenant], signal),
  };
}

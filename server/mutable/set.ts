import type { SetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import * as check from "../checks.js";
import { now, type Run } from "../database.js";
import { CortexError } from "../errors.js";
import type { Call } from "../rpc.js";
import { at, type Row, toRecord, written } from "./entry.js";
import { atRevision, look, until } from "./refuse.js";
import { checkWrite, unknownUser, upsert, type Write } from "./write.js";

export async function set(request: SetRequest, { tenant, run, config }: Call) {
  const { ifRevision, ifAbsent } = request;
  check.exclusive(["if_absent", ifAbsent], ["if_revision", ifRevision !== undefined]);
  const namespace = check.namespace(request.namespace);
  const write = checkWrite(tenant, namespace, request, config.valueBytesMax);
  if (ifRevision !== undefined)
    return { record: toRecord(await overwrite(run, write, check.revision(ifRevision))) };
  if (ifAbsent) return { record: toRecord(await insert(run, write)) };
  const [row] = await upsert(run, [write]);
  return { record: row && toRecord(row) };
}

function insert(run: Run, write: Write): Promise<Row> {
  const { namespace, key } = write;
  return until(
    async () => (await upsert(run, [write], { ifAbsent: true }))[0],
    async () => {
      const found = await look(run, write);
      return (
        found && new CortexError("KEY_EXISTS", { namespace, key, current_revision: found.revision })
      );
    },
  );
}

function overwrite(run: Run, write: Write, revision: string): Promise<Row> {
  const { tenant, namespace, key, value, userId, metadata, ttlSeconds = null } = write;
  const attempt = (): Promise<Row[]> =>
    run<Row>(
      (sql) =>
        written(
          sql,
          sql`
          update mutable as m set
            value = ${value}::text::json,
            user_id = ${userId === undefined ? sql`m.user_id` : sql`${userId}`},
            metadata = ${metadata === undefined ? sql`m.metadata` : sql`${metadata ?? "{}"}::text::json`},
            updated_at = ${now(sql)},
            expire_at = ${now(sql)} + ${ttlSeconds}::float8 * interval '1 second',
            revision = nextval('revision')
          where ${at(sql, tenant, namespace, key)} and m.revision = ${revision}`,
        ),
      unknownUser(run, [write]),
    );
  return until(
    async () => (await attempt())[0],
    async () => atRevision(write, revision, await look(run, write)),
  );
}

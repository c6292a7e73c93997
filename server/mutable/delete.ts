import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { DeleteRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import * as check from "../checks.js";
import { now, type Run } from "../database.js";
import { CortexError } from "../errors.js";
import type { Call } from "../rpc.js";
import { at } from "./entry.js";
import { atRevision, look, type Place, until } from "./refuse.js";

interface Deletion {
  deleted: boolean;
  at: Date;
}

export async function deleteKey(request: DeleteRequest, { tenant, run }: Call) {
  const namespace = check.namespace(request.namespace);
  const key = check.key(request.key);
  const place = { tenant, namespace, key };
  const { mustExist } = request;
  const ifRevision =
    request.ifRevision === undefined ? undefined : check.revision(request.ifRevision);

  const { deleted, at } = await until(
    async () => {
      const done = await remove(run, place, ifRevision);
      return done.deleted || (!mustExist && ifRevision === undefined) ? done : undefined;
    },
    async () => {
      const found = await look(run, place);
      if (!found && mustExist) return new CortexError("KEY_NOT_FOUND", { namespace, key });
      return ifRevision === undefined ? undefined : atRevision(place, ifRevision, found);
    },
  );
  return { deleted, namespace, key, deleteTime: timestampFromDate(at) };
}

async function remove(
  run: Run,
  { tenant, namespace, key }: Place,
  revision: string | undefined,
): Promise<Deletion> {
  const [done] = await run<Deletion>(
    (sql) => sql`
      with gone as (
        delete from mutable m where ${at(sql, tenant, namespace, key)}
          ${revision === undefined ? sql`` : sql`and m.revision = ${revision}`}
        returning 1
      )
      select exists (select from gone) as deleted, ${now(sql)} as at`,
  );
  return done as Deletion;
}

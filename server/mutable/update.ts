// One statement: the database computes the new value from the value as it is when the row is locked. A value that the operation
// cannot take, or whose result would be too large, is not touched.
import type { UpdateRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import * as check from "../checks.js";
import { type Fragment, now, type Run, type Sql } from "../database.js";
import { CortexError, type Reason } from "../errors.js";
import type { Call } from "../rpc.js";
import { at, live, type Row, toRecord, written } from "./entry.js";
import { atRevision, look, type Place, until } from "./refuse.js";

interface Operation {
  /** Whether the operation takes the value of `m`. */
  accepts: (sql: Sql) => Fragment;
  /** The value of `m` after the operation, where it accepts. */
  next: (sql: Sql) => Fragment;
  /** The value of a key that the operation creates. */
  initial: (sql: Sql) => Fragment;
  refusal: Reason;
}

interface Change extends Place {
  operation: Operation;
  createIfMissing: boolean;
  ifRevision: string | undefined;
  valueBytesMax: number;
}

export async function update(request: UpdateRequest, { tenant, run, config }: Call) {
  const { createIfMissing, ifRevision } = request;
  check.exclusive(
    ["create_if_missing", createIfMissing],
    ["if_revision", ifRevision !== undefined],
  );
  const change: Change = {
    tenant,
    namespace: check.namespace(request.namespace),
    key: check.key(request.key),
    operation: operationOf(request.operation, config.valueBytesMax),
    createIfMissing,
    ifRevision: ifRevision === undefined ? undefined : check.revision(ifRevision),
    valueBytesMax: config.valueBytesMax,
  };
  return { record: toRecord(await apply(run, change)) };
}

function apply(run: Run, change: Change): Promise<Row> {
  return until(
    async () => (await (change.createIfMissing ? changeOrCreate : changeExisting)(run, change))[0],
    () => refusal(run, change),
  );
}

function changeExisting(run: Run, change: Change): Promise<Row[]> {
  const { tenant, namespace, key, operation, ifRevision } = change;
  return run<Row>((sql) =>
    written(
      sql,
      sql`
      update mutable as m set
        value = ${operation.next(sql)}, updated_at = ${now(sql)}, revision = nextval('revision')
      where ${at(sql, tenant, namespace, key)}
        ${ifRevision === undefined ? sql`` : sql`and m.revision = ${ifRevision}`}
        and ${possible(sql, change)}`,
    ),
  );
}

function changeOrCreate(run: Run, change: Change): Promise<Row[]> {
  const { tenant, namespace, key, operation } = change;
  const kept = (column: string) => (sql: Sql) =>
    sql`${sql(column)} = case when ${live(sql)} then m.${sql(column)} else excluded.${sql(column)} end`;
  return run<Row>((sql) =>
    written(
      sql,
      sql`
      insert into mutable as m
        (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
      select ${tenant}, ${namespace}, ${key}, ${operation.initial(sql)}, at, at, revision, revision
      from (select ${now(sql)} as at, nextval('revision') as revision) as entry
      on conflict (tenant, namespace, key) do update set
        value = case when ${live(sql)} then ${operation.next(sql)} else excluded.value end,
        ${kept("user_id")(sql)}, ${kept("metadata")(sql)}, ${kept("created_at")(sql)}, ${kept("expire_at")(sql)},
        ${kept("created_revision")(sql)},
        updated_at = case when ${live(sql)} then ${now(sql)} else excluded.updated_at end,
        revision = nextval('revision')
      where case when ${live(sql)} then ${possible(sql, change)} else true end`,
    ),
  );
}

// case, not and: only case keeps the database from computing what the value does not allow.
const possible = (sql: Sql, { operation, valueBytesMax }: Change): Fragment => sql`
  case when ${operation.accepts(sql)} then octet_length(${operation.next(sql)}::text) <= ${valueBytesMax} else false end`;

async function refusal(run: Run, change: Change): Promise<CortexError | undefined> {
  const { namespace, key, operation, createIfMissing, ifRevision, valueBytesMax } = change;
  const found = await look(
    run,
    change,
    (sql) => sql`,
      ${operation.accepts(sql)} as accepted,
      case when ${operation.accepts(sql)} then octet_length(${operation.next(sql)}::text) end as bytes`,
  );
  const mismatch = ifRevision === undefined ? undefined : atRevision(change, ifRevision, found);
  if (mismatch) return mismatch;
  if (!found) {
    if (createIfMissing) return undefined;
    const hint = "createIfMissing (create_if_missing) creates it";
    return new CortexError("KEY_NOT_FOUND", { namespace, key, hint });
  }
  if (!found.accepted)
    return new CortexError(operation.refusal, { namespace, key, got: found.type });
  if ((found.bytes ?? 0) <= valueBytesMax) return undefined;
  return new CortexError("VALUE_TOO_LARGE", {
    field: "result",
    limit: `${valueBytesMax}`,
    got: `${found.bytes}`,
  });
}

function operationOf(operation: UpdateRequest["operation"], bytesMax: number): Operation {
  switch (operation.case) {
    case "increment":
      return sum("increment.amount", operation.value.amount, (sql) => sql`+`);
    case "decrement":
      return sum("decrement.amount", operation.value.amount, (sql) => sql`-`);
    case "append":
      return append(
        check.json(
          operation.value.valueJson,
          "append.value_json",
          bytesMax,
          check.valueDepthMax - 1,
        ),
      );
    case "merge": {
      const patch = check.json(
        operation.value.patchJson,
        "merge.patch_json",
        bytesMax,
        check.patchDepthMax,
      );
      return {
        accepts: (sql) => sql`true`,
        next: (sql) => sql`json_merge_patch(m.value, ${patch}::text::json)`,
        initial: (sql) => sql`json_merge_patch('{}', ${patch}::text::json)`,
        refusal: "INVALID_VALUE",
      };
    }
    case "replace": {
      const value = check.json(operation.value.valueJson, "replace.value_json", bytesMax);
      return {
        accepts: (sql) => sql`true`,
        next: (sql) => sql`${value}::text::json`,
        initial: (sql) => sql`${value}::text::json`,
        refusal: "INVALID_VALUE",
      };
    }
    case undefined:
      throw new CortexError("INVALID_OPERATION", { field: "operation", problem: "is missing" });
  }
}

function sum(field: string, amount = "1", sign: (sql: Sql) => Fragment): Operation {
  const exact = check.amount(amount, field);
  const add = (sql: Sql, to: Fragment) =>
    sql`trim_scale(${to} ${sign(sql)} ${exact}::text::numeric)::text::json`;
  return {
    accepts: (sql) => sql`json_typeof(m.value) in ('number', 'null')`,
    next: (sql) =>
      add(sql, sql`case json_typeof(m.value) when 'null' then 0 else m.value::text::numeric end`),
    initial: (sql) => add(sql, sql`0`),
    refusal: "VALUE_NOT_NUMERIC",
  };
}

// On the text, so that the elements that are there stay to the letter.
function append(element: string): Operation {
  return {
    accepts: (sql) => sql`json_typeof(m.value) = 'array'`,
    next: (sql) => sql`(
      left(rtrim(m.value::text, E' \\t\\n\\r'), -1)
      || case when m.value::text ~ '^[ \\t\\n\\r]*\\[[ \\t\\n\\r]*\\]' then '' else ',' end
      || ${element}::text || ']')::json`,
    initial: (sql) => sql`('[' || ${element}::text || ']')::json`,
    refusal: "VALUE_NOT_ARRAY",
  };
}

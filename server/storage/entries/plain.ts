// Plain writes: by far the most. Each of their keys has one operation in the batch, which sets it or adds to it.
// They go in a statement of their own (plain-text.ts), whose text is made once for each set of columns.
import type { Fragment, Sql } from "../../postgres/connection.js";
import { TextStatements } from "../../postgres/text.js";
import { namesMax } from "../creation.js";
import type { AtomicWrite } from "./atomic-write.js";
import type { Operation } from "./operation.js";
import { columnsOf, idOf, needsOf } from "./plain-columns.js";
import { plainText } from "./plain-text.js";

const plainKinds = new Set<Operation["kind"]>(["set", "replace", "add"]);

/** True if one statement of plain writes can make them all. */
export function arePlain(writes: AtomicWrite[]): boolean {
  const isShared = sharing(writes);
  return writes.every((write) => isPlain(write) && !isShared(write));
}

/** The plain writes of a batch, and the others: a write that shares a key with another is not plain. */
export function separate(writes: AtomicWrite[]): number[][] {
  const isShared = sharing(writes);
  const [plain, others]: [number[], number[]] = [[], []];
  writes.forEach((write, i) => {
    (isPlain(write) && !isShared(write) ? plain : others).push(i);
  });
  return [plain, others].filter((part) => part.length > 0);
}

const isPlain = ({ guard, room, operations }: AtomicWrite): boolean =>
  !guard && !room && operations.every(({ kind }) => plainKinds.has(kind));

/** Tells which writes have a key that has another operation too. */
function sharing(writes: AtomicWrite[]): (write: AtomicWrite) => boolean {
  const seen = new Set<string>();
  const shared = new Set<string>();
  for (const { keys } of writes)
    for (const name of keys) {
      if (seen.has(name)) shared.add(name);
      seen.add(name);
    }
  return shared.size === 0 ? () => false : ({ keys }) => keys.some((name) => shared.has(name));
}

const texts = new TextStatements();

/**
 * The statement of plain writes. It waits for no lock, so the order of its keys is that of the writes. Gives a row for
 * each operation, in this order.
 */
export function plainStatement(sql: Sql, writes: AtomicWrite[]): Fragment {
  const rows = writes.flatMap((write, writeNumber) =>
    write.operations.map((operation) => ({ operation, write, writeNumber })),
  );
  const needs = needsOf(rows);
  const [{ valueBytesMax, replyBytesMax }] = writes as [AtomicWrite];
  const limits = { valueBytesMax, replyBytesMax, many: rows.length > namesMax };
  return texts.statement(
    sql,
    [idOf(needs), ...Object.values(limits)].join(),
    (parts) => plainText(parts, needs, limits),
    columnsOf(needs).map(({ of }) => rows.map((row) => of(row) ?? null)),
  );
}

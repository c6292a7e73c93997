// The input of the statement that writes entries: the distinct keys in the order in which everybody locks
// them, and the operations, each a step in the states of its key.
import type { InputRow } from "../../postgres/recordset.js";
import type { AtomicWrite } from "./atomic-write.js";

export const keyColumns = {
  ordinal: "int",
  tenant: "text",
  namespace: "text",
  key: "text",
  atomic: "int", // the write that the key belongs to, if that has several operations
  creates: "boolean", // an operation may create it, or a write of several operations needs it to stay absent
} as const;

export const operationColumns = {
  number: "int",
  write: "int",
  key_ordinal: "int",
  step: "int",
  last: "boolean", // the last operation on its key
  kind: "text",
  argument: "text",
  expects: "text",
  if_revision: "bigint",
  agent: "text",
  principal: "text",
  keeps_user: "boolean",
  user_id: "text",
  keeps_metadata: "boolean",
  metadata: "text",
  ttl: "float8",
  tenant: "text", // this and the next three only where the write has a request id
  request: "text",
  fingerprint: "text",
  content_max: "int", // more bytes of value and metadata are not kept in the stored reply
} as const;

export type InputKey = InputRow<typeof keyColumns>;
type InputOperation = InputRow<typeof operationColumns>;

export interface Input {
  keys: InputKey[];
  operations: InputOperation[];
  /** These are true if any write has several operations, a delete, or a request id. */
  hasAtomic: boolean;
  hasDeletes: boolean;
  hasRequests: boolean;
}

interface Key {
  name: string;
  row: InputKey;
  steps: number;
}

export function inputOf(writes: AtomicWrite[]): Input {
  const keys = new Map<string, Key>();
  const steps = writes.flatMap((write, writeNumber) =>
    write.operations.map((operation, i) => {
      const name = write.keys[i] as string;
      const { tenant, namespace, key } = operation;
      const atomic = write.operations.length > 1 ? writeNumber : undefined;
      const known = keys.get(name) ?? {
        name,
        row: { ordinal: 0, tenant, namespace, key, atomic, creates: atomic !== undefined },
        steps: 0,
      };
      keys.set(name, known);
      known.steps++;
      const { kind, expects } = operation;
      if (kind !== "check" && kind !== "delete" && expects !== "present") known.row.creates = true;
      return { operation, write, writeNumber, key: known, step: known.steps };
    }),
  );
  const sorted = [...keys.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  sorted.forEach(({ row }, ordinal) => {
    row.ordinal = ordinal;
  });
  return {
    keys: sorted.map(({ row }) => row),
    operations: steps.map(({ operation, write, writeNumber, key, step }, number) => ({
      number,
      write: writeNumber,
      key_ordinal: key.row.ordinal,
      step,
      last: step === key.steps,
      kind: operation.kind,
      argument: operation.argument,
      expects: operation.expects,
      if_revision: operation.ifRevision,
      agent: write.agent,
      principal: write.principal,
      keeps_user: operation.userId === undefined,
      user_id: operation.userId,
      keeps_metadata: operation.metadata === undefined,
      metadata: operation.metadata,
      ttl: operation.ttlSeconds,
      tenant: write.idempotencyKey && write.tenant,
      request: write.idempotencyKey?.id,
      fingerprint: write.idempotencyKey?.fingerprint,
      content_max: write.idempotencyKey && write.contentMax,
    })),
    hasAtomic: writes.some(({ operations }) => operations.length > 1),
    hasDeletes: steps.some(({ operation }) => operation.kind === "delete"),
    hasRequests: writes.some(({ idempotencyKey }) => idempotencyKey),
  };
}

// The events and the entries of streams of a transaction. It writes them when it commits, so that it locks the partition
// of events, and the streams, for a moment only.
import { CortexError } from "../../errors/reasons.js";
import type { Run } from "../../postgres/connection.js";
import { type Amounts, quotaRefusal, type Reservation, type Room } from "../../runtime/quotas.js";
import { eventWrite, type NewEvent } from "../events/event.js";
import { eventWrites } from "../events/write.js";
import { toConflict } from "../idempotency.js";
import { appendWrites } from "../streams/append.js";
import { type AppendWrite, appendWrite, type NewAppend } from "../streams/new-entries.js";
import { streamLockName } from "../streams/stream.js";
import type { Outcome } from "../write-path.js";
import type { Appended, StepResult } from "./result.js";
import type { Failed, TransactionStep } from "./step.js";

interface Append {
  write: AppendWrite;
  result: Appended;
  failed(reason: CortexError): CortexError;
}

export class TransactionMessages {
  readonly #events: NewEvent[] = [];
  readonly #appends: Append[] = [];

  constructor(
    /** Begins the database transaction, if it has not begun. */
    readonly begun: () => Promise<Run>,
    readonly reserve: (adds: Amounts) => Promise<Reservation | undefined>,
  ) {}

  /** Adds the events and entries among the steps, locks their users, and takes room for the entries. */
  async add(
    steps: readonly TransactionStep[],
    results: StepResult[],
    failed: Failed,
  ): Promise<void> {
    if (!steps.some(isMessage)) return;
    const known = await lockUsers(await this.begun(), steps.filter(isMessage));
    for (const [index, step] of steps.entries()) {
      if (!isMessage(step)) continue;
      const stranger = usersOf(step).find((id) => !known.has(id));
      if (stranger !== undefined)
        throw failed(new CortexError("USER_NOT_FOUND", { user_id: stranger }), index);
      if (step.kind === "publish") {
        results[index] = { published: step.channel };
        this.#events.push(step);
        continue;
      }
      const write = appendWrite(step);
      const room = await this.#roomFor(write);
      const refusal = room && quotaRefusal(room, { ...write.adds, keys: 0 });
      if (refusal) throw refusal;
      const result: Appended = { appended: step.stream, entries: step.entries.length, ids: [] };
      results[index] = result;
      const failedHere = (reason: CortexError) => failed(reason, index);
      this.#appends.push({ write: { ...write, room }, result, failed: failedHere });
    }
  }

  /** The room for an append. The first one to a stream takes that for its key too, in case it does not exist. */
  async #roomFor({ stream, adds }: AppendWrite): Promise<Room | undefined> {
    const first = this.#appends.find(({ write }) => write.stream === stream);
    const room = (await this.reserve(first ? { ...adds, keys: 0 } : adds))?.room;
    return room && first ? { ...room, keys: first.write.room?.keys ?? 1 } : room;
  }

  /** The users that the events and entries name. */
  get userIds(): string[] {
    return [...this.#events, ...this.#appends.map(({ write }) => write)].flatMap(usersOf);
  }

  /** The names in KeyLocks of the streams. */
  get streams(): string[] {
    return this.#appends.map(({ write: { tenant, stream } }) => streamLockName(tenant, stream));
  }

  async write(run: Run): Promise<void> {
    await this.#append(run);
    const [event] = this.#events;
    if (!event) return;
    resultOf(await eventWrites.runOne(run, eventWrite(event.tenant, this.#events), "held", 1));
  }

  /** Locks the streams in the order of their names, as a statement does that appends to several. */
  async #append(run: Run): Promise<void> {
    const appends = [...this.#appends].sort((a, b) => (a.write.stream < b.write.stream ? -1 : 1));
    // What has ids of its own is alone for its stream in a statement.
    const apart = appends.some(({ write }) => write.entries[0]?.id !== undefined);
    const rounds = apart ? appends.map((append) => [append]) : [appends];
    for (const round of rounds) {
      if (round.length === 0) continue;
      const writes = round.map(({ write }) => write);
      const outcomes = await appendWrites.runAlone(run, writes, "held", 1).catch(toConflict);
      for (const [i, { result, failed }] of round.entries())
        result.ids = resultOf(outcomes[i] as Outcome<{ ids: string[] }>, failed).ids;
    }
  }
}

/** The result of a write whose locks are held. Throws if it was refused; `failed` makes the error. */
function resultOf<Result>(
  outcome: Outcome<Result>,
  failed = (reason: CortexError) => reason,
): Result {
  if ("result" in outcome) return outcome.result;
  if (!("refused" in outcome)) throw new CortexError("CONFLICT");
  const { refused } = outcome;
  throw refused.reason === "QUOTA_EXCEEDED" ? refused : failed(refused);
}

const isMessage = (step: TransactionStep): step is NewEvent | NewAppend =>
  step.kind === "publish" || step.kind === "append_entries";

const usersOf = (
  message: { userId: string | undefined } | { entries: { userId: string | undefined }[] },
) => ("entries" in message ? message.entries : [message]).flatMap(({ userId }) => userId ?? []);

/** Locks the users that the messages name, and gives those that exist. */
async function lockUsers(run: Run, messages: (NewEvent | NewAppend)[]): Promise<Set<string>> {
  const named = [...new Set(messages.flatMap(usersOf))].sort();
  const [tenant = ""] = messages.map((message) => message.tenant);
  if (named.length === 0) return new Set();
  const rows = await run<{ id: string }>(
    (sql) => sql`
      select u.id from users u where u.tenant = ${tenant} and u.id = any(${named}::text[])
      order by u.id for key share`,
  );
  return new Set(rows.map(({ id }) => id));
}

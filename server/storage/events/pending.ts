// Collects the events of a transaction, and writes them when it commits: so it locks the partition of events for a
// moment only.
import { CortexError } from "../../errors/reasons.js";
import type { Run } from "../../postgres/connection.js";
import { eventWrite, type NewEvent } from "./event.js";
import { eventWrites } from "./write.js";

export class PendingEvents {
  readonly #pending: NewEvent[] = [];

  /** Adds the events among the steps, and locks their users. `failed` makes the error of a user who does not exist. */
  async add(
    run: Run,
    steps: readonly { kind: string }[],
    results: object[],
    failed: (reason: CortexError, index: number) => CortexError,
  ): Promise<void> {
    const events = steps.flatMap((step, index) => (isEvent(step) ? { ...step, index } : []));
    const known = await lockUsers(run, events);
    for (const { index, ...event } of events) {
      const { userId, channel } = event;
      if (userId !== undefined && !known.has(userId))
        throw failed(new CortexError("USER_NOT_FOUND", { user_id: userId }), index);
      results[index] = { published: channel };
      this.#pending.push(event);
    }
  }

  /** The users that the events name. */
  get userIds(): string[] {
    return this.#pending.flatMap(({ userId }) => userId ?? []);
  }

  async publish(run: Run): Promise<void> {
    const [event] = this.#pending;
    if (!event) return;
    const write = eventWrite(event.tenant, this.#pending);
    const outcome = await eventWrites.runOne(run, write, "held", 1);
    if ("refused" in outcome) throw outcome.refused;
    if (!("result" in outcome)) throw new CortexError("CONFLICT");
  }
}

const isEvent = (step: { kind: string }): step is NewEvent => step.kind === "publish";

/** Locks the users that the events name, and gives those that exist. */
async function lockUsers(run: Run, events: NewEvent[]): Promise<Set<string>> {
  const named = [...new Set(events.flatMap(({ userId }) => userId ?? []))].sort();
  const [tenant = ""] = events.map((event) => event.tenant);
  if (named.length === 0) return new Set();
  const rows = await run<{ id: string }>(
    (sql) => sql`
      select u.id from users u where u.tenant = ${tenant} and u.id = any(${named}::text[])
      order by u.id for key share`,
  );
  return new Set(rows.map(({ id }) => id));
}

// Postgres keeps samples of column values for its planner: ids of users, words of texts. After an erasure they are
// taken anew, so that those of the user are gone.
import type { Run } from "../postgres/connection.js";

const tables = [
  "users",
  "mutable",
  "mutable_access",
  "immutable",
  "immutable_version",
  "request",
] as const;

export class PlannerSamples {
  #areStale = false;

  /** Notes that somebody's data was erased. */
  noteErasure(): void {
    this.#areStale = true;
  }

  /** Takes the samples anew if there was an erasure since. */
  async refresh(run: Run): Promise<void> {
    if (!this.#areStale) return;
    this.#areStale = false;
    try {
      for (const table of tables) await run((sql) => sql`analyze ${sql(table)}`);
    } catch (error) {
      this.#areStale = true;
      throw error;
    }
  }
}

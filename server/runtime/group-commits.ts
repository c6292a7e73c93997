// The group commits of a server.
import type { TenantPool } from "../postgres/pool.js";
import type { Telemetry } from "../telemetry/telemetry.js";
import { type Batchable, GroupCommit, type TenantItem } from "./group-commit.js";

/** The group commits of a server: one for each kind of statement. */
export class GroupCommits {
  // biome-ignore lint/suspicious/noExplicitAny: of any items and replies
  readonly #byKind = new Map<unknown, GroupCommit<any, any>>();

  constructor(
    readonly pools: { readBatches: TenantPool; writeBatches: TenantPool },
    /** How many calls of a tenant may wait for each. */
    readonly waitingMax: number,
    readonly telemetry?: Telemetry | undefined,
  ) {}

  /** How many calls wait, by lane. */
  get waiting(): ReadonlyMap<"reads" | "writes", number> {
    const sums = new Map<"reads" | "writes", number>();
    for (const { kind, waiting } of this.#byKind.values())
      sums.set(kind.lane, (sums.get(kind.lane) ?? 0) + waiting);
    return sums;
  }

  of<Item extends TenantItem, Reply>(kind: Batchable<Item, Reply>): GroupCommit<Item, Reply> {
    const known: GroupCommit<Item, Reply> | undefined = this.#byKind.get(kind);
    if (known) return known;
    const { readBatches, writeBatches } = this.pools;
    const pool = kind.lane === "reads" ? readBatches : writeBatches;
    const groupCommit = new GroupCommit(kind, pool, this.waitingMax, this.telemetry);
    this.#byKind.set(kind, groupCommit);
    return groupCommit;
  }
}

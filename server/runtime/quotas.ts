// Limits how much a tenant may store, over all servers. While a tenant writes, it is measured every second, and
// what this process has written since then is added. Near a limit, it is measured before each write. A write of
// entries then runs in a statement of its own, which checks the quota itself. So a quota is exact for a tenant
// that makes one write after the other. Calls in flight when a limit is reached can exceed it.
import { CortexError } from "../errors/reasons.js";

const ageMsMax = 1000;

/** Amounts of a tenant: keys, versions, and the bytes of values, data, metadata and profiles. */
export interface Amounts {
  keys: number;
  bytes: number;
  versions: number;
}
export type QuotaKind = keyof Amounts;

const kinds = ["keys", "bytes", "versions"] as const;
const none: Amounts = { keys: 0, bytes: 0, versions: 0 };

/** How much of each the tenant may still store, and the limits that this comes from. */
export interface Room extends Amounts {
  limits: Amounts;
}

/** The error for a write that adds more of a kind than there is room for. */
export function quotaExceeded(kind: QuotaKind, room: Room): CortexError {
  const limit = room.limits[kind];
  return new CortexError("QUOTA_EXCEEDED", {
    applied: "no",
    quota: kind,
    limit: `${limit}`,
    got: `${limit - Math.max(room[kind], 0)}`,
    retry_after_ms: `${ageMsMax}`,
  });
}

/**
 * The error for a write that adds more than there is room for; undefined if there is room. A kind of which it
 * adds nothing is not checked. `taken` is room that was used and not measured yet.
 */
export function quotaRefusal(room: Room, adds: Amounts, taken = none): CortexError | undefined {
  const kind = kinds.find((kind) => adds[kind] > 0 && adds[kind] > room[kind] - taken[kind]);
  return kind && quotaExceeded(kind, room);
}

interface Usage {
  measured: Amounts;
  /** The most that was written since. */
  since: Amounts;
  at: number;
}

const near = { keys: 1000, bytes: 16 * 1024 * 1024, versions: 1000 }; // as much as a few statements may add
const tenantsMax = 10_000;

/** The tenants of the next measurement. */
interface Measurement {
  tenants: Set<string>;
  done: Promise<void>;
}

export class Quotas {
  readonly #usages = new Map<string, Usage>();
  #next: Measurement | undefined;
  /** Ends with the measurement on its way. */
  #running: Promise<void> = Promise.resolve();
  readonly #on: boolean;

  constructor(
    /** 0 is no limit. */
    readonly limits: Amounts,
    /** Measures tenants, in one statement. */
    readonly measure: (tenants: string[]) => Promise<Amounts[]>,
  ) {
    this.#on = kinds.some((kind) => limits[kind] > 0);
  }

  /**
   * The room for a write that adds at most `adds`; undefined if the tenant is far from every limit, so no
   * check is needed.
   */
  async room(tenant: string, adds: Amounts): Promise<Room | undefined> {
    if (!this.#on || kinds.every((kind) => adds[kind] === 0)) return undefined;
    let usage = this.#usages.get(tenant);
    if (!usage || this.#isNear(usage)) {
      await this.#measured(tenant);
      usage = this.#usageOf(tenant);
    } else if (performance.now() - usage.at > ageMsMax) this.#measured(tenant).catch(() => {}); // in the background; on failure the next write tries again
    const room = this.#left(usage);
    for (const kind of kinds) usage.since[kind] += adds[kind];
    return this.#isNear(usage) ? room : undefined;
  }

  /**
   * Throws QUOTA_EXCEEDED where there is no room for `adds`. `taken` is room that was used and not measured
   * yet.
   */
  async check(tenant: string, adds: Amounts, taken = none): Promise<void> {
    const room = await this.room(tenant, adds);
    const refusal = room && quotaRefusal(room, adds, taken);
    if (refusal) throw refusal;
  }

  #left({ measured, since }: Usage): Room {
    const { limits } = this;
    const left = (kind: QuotaKind) =>
      limits[kind] === 0 ? Number.MAX_SAFE_INTEGER : limits[kind] - measured[kind] - since[kind];
    return { keys: left("keys"), bytes: left("bytes"), versions: left("versions"), limits };
  }

  #isNear(usage: Usage): boolean {
    const left = this.#left(usage);
    return kinds.some((kind) => left[kind] < near[kind]);
  }

  /** Ends once the tenant has been measured, by a statement that began after this. All who wait share it. */
  #measured(tenant: string): Promise<void> {
    if (!this.#next) {
      const tenants = new Set<string>();
      const done = this.#running.then(() => {
        this.#next = undefined;
        return this.#measure([...tenants]);
      });
      this.#next = { tenants, done };
      this.#running = done.catch(() => {});
    }
    this.#next.tenants.add(tenant);
    return this.#next.done;
  }

  async #measure(tenants: string[]): Promise<void> {
    const before = tenants.map((tenant) => ({ ...this.#usages.get(tenant)?.since }));
    const at = performance.now();
    const measured = await this.measure(tenants);
    tenants.forEach((tenant, i) => {
      const { since } = this.#usageOf(tenant);
      // What was written while the statement was on its way is perhaps not in its result.
      for (const kind of kinds) since[kind] -= before[i]?.[kind] ?? 0;
      this.#usages.delete(tenant); // the last that was measured comes last
      this.#usages.set(tenant, { measured: measured[i] ?? none, since, at });
    });
    for (const [oldest] of this.#usages) {
      if (this.#usages.size <= tenantsMax) break;
      this.#usages.delete(oldest);
    }
  }

  #usageOf(tenant: string): Usage {
    return this.#usages.get(tenant) ?? { measured: none, since: { ...none }, at: 0 };
  }
}

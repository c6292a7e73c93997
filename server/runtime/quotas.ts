// Limits how much a tenant may store, over all servers. While a tenant writes, it is measured every second. What
// this process has written since then is added, and what is on its way. Near a limit, the tenant is measured
// before each write. A write of entries then runs in a statement of its own, which checks the quota itself. So
// one process never lets a tenant exceed a quota; each further one lets it exceed by what it has on its way.
import { CortexError } from "../errors/reasons.js";

const ageMsMax = 1000;
const staleMs = 2000; // other servers may have written much since

/** Amounts of a tenant: keys, versions, the bytes of what it stores, and what its consumer groups have pending. */
export interface Amounts {
  keys: number;
  bytes: number;
  versions: number;
  pending: number;
}
export type QuotaKind = keyof Amounts;

const kinds = ["keys", "bytes", "versions", "pending"] as const;
const none: Amounts = { keys: 0, bytes: 0, versions: 0, pending: 0 };

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
 * adds nothing is not checked.
 */
export function quotaRefusal(room: Room, adds: Amounts): CortexError | undefined {
  const kind = kinds.find((kind) => adds[kind] > 0 && adds[kind] > room[kind]);
  return kind && quotaExceeded(kind, room);
}

interface Usage {
  measured: Amounts;
  /** The most that was written since the measurement began. */
  since: Amounts;
  /** The most that writes on their way add. */
  pending: Amounts;
  at: number;
}

/** Room that a write takes, from before it runs until its end is known. */
export interface Reservation {
  /** The room that was left for it; undefined if the tenant is far from every limit, so no check is needed. */
  room: Room | undefined;
  /** Says what was added at most, once that is known. */
  settle(adds: Amounts): void;
  release(): void;
}

const near = { keys: 1000, bytes: 16 * 1024 * 1024, versions: 1000, pending: 5000 }; // as much as a few statements may add
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
  constructor(
    /** 0 is no limit. */
    readonly limits: Amounts,
    /** Measures tenants, in one statement. */
    readonly measure: (tenants: string[]) => Promise<Amounts[]>,
  ) {}

  /** True if anything of what a write adds is limited. */
  limit(adds: Amounts): boolean {
    return kinds.some((kind) => adds[kind] > 0 && this.limits[kind] > 0);
  }

  /** Takes room for a write that adds at most `adds`; undefined if nothing of what it adds is limited. */
  async reserve(tenant: string, adds: Amounts): Promise<Reservation | undefined> {
    if (!this.limit(adds)) return undefined;
    let usage = this.#usages.get(tenant);
    const age = performance.now() - (usage?.at ?? Number.NEGATIVE_INFINITY);
    if (!usage || this.#isNear(usage, adds) || age > staleMs) {
      await this.#measured(tenant);
      usage = this.#usageOf(tenant);
    } else if (age > ageMsMax) this.#measured(tenant).catch(() => {}); // in the background; on failure the next write tries again
    const room = this.#left(usage);
    let taken = adds;
    add(usage.pending, taken);
    return {
      room: this.#isNear(usage, adds) ? room : undefined,
      settle: (actual) => {
        add(usage.pending, taken, -1);
        add(usage.pending, actual);
        taken = actual;
      },
      release: () => {
        add(usage.pending, taken, -1);
        add(usage.since, taken);
        taken = none;
      },
    };
  }

  /** Does work that adds at most `adds`. Throws QUOTA_EXCEEDED if there is no room for it. */
  async within<Done>(tenant: string, adds: Amounts, work: () => Promise<Done>): Promise<Done> {
    const reservation = await this.reserve(tenant, adds);
    try {
      const refusal = reservation?.room && quotaRefusal(reservation.room, adds);
      if (refusal) throw refusal;
      return await work();
    } finally {
      reservation?.release();
    }
  }

  #left({ measured, since, pending }: Usage): Room {
    const { limits } = this;
    const left = (kind: QuotaKind) =>
      limits[kind] === 0
        ? Number.MAX_SAFE_INTEGER
        : limits[kind] - measured[kind] - since[kind] - pending[kind];
    return {
      keys: left("keys"),
      bytes: left("bytes"),
      versions: left("versions"),
      pending: left("pending"),
      limits,
    };
  }

  /** True if one of the limits is near that a write of these amounts may exceed. */
  #isNear(usage: Usage, adds: Amounts): boolean {
    const left = this.#left(usage);
    return kinds.some((kind) => adds[kind] > 0 && left[kind] < near[kind]);
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
    const at = performance.now();
    // What ends while the statement is on its way is perhaps not in its result.
    const before = tenants.map((tenant) => ({ ...(this.#usages.get(tenant)?.since ?? none) }));
    const measured = await this.measure(tenants);
    tenants.forEach((tenant, i) => {
      const usage = this.#usageOf(tenant);
      add(usage.since, before[i] ?? none, -1);
      Object.assign(usage, { measured: measured[i] ?? none, at });
      this.#usages.delete(tenant); // the one that was measured last comes last
      this.#usages.set(tenant, usage);
    });
    for (const [oldest, { pending }] of this.#usages) {
      if (this.#usages.size <= tenantsMax) break;
      if (kinds.every((kind) => pending[kind] === 0)) this.#usages.delete(oldest);
    }
  }

  #usageOf(tenant: string): Usage {
    const known = this.#usages.get(tenant);
    if (known) return known;
    const usage = { measured: none, since: { ...none }, pending: { ...none }, at: 0 };
    this.#usages.set(tenant, usage);
    return usage;
  }
}

function add(sum: Amounts, amounts: Amounts, sign = 1): void {
  for (const kind of kinds) sum[kind] += sign * amounts[kind];
}

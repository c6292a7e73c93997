// Caches: one caller computes a missing value while the others wait for it or take the old one.
import { CortexError, refused } from "../core/error.js";
import { secondsOf } from "../core/validate.js";
import type { Mutable } from "../mutable/mutable.js";
import type { Surface } from "../scopes/scope.js";
import { claimName } from "./derived-names.js";
import { unwrapErrors } from "./unwrap-errors.js";

/** How long a cached value lasts. */
export interface CacheTimes {
  /** Seconds for which the value is fresh: above 0. */
  ttlSeconds: number;
  /** For how many seconds more it may be given while somebody computes the next one. Default: 0. */
  staleSeconds?: number | undefined;
  /**
   * Seconds for which a computed null is fresh: a result that does not exist is cached too. Default: `ttlSeconds`.
   */
  missTtlSeconds?: number | undefined;
}

export interface CacheOptions extends CacheTimes {
  /**
   * Milliseconds to wait for the caller that computes. After that CLAIM_NOT_HELD is thrown. Default: 60000.
   */
  waitMs?: number | undefined;
  /** If the process that computes dies, another caller may compute after this many seconds. Default: 10. */
  claimSeconds?: number | undefined;
}

export interface Cached<T> {
  value: T;
  /** `cache`: it was fresh. `stale`: it is an old one, and somebody computes the next. `computed`: this call did. */
  source: "cache" | "stale" | "computed";
}

/** The namespace of the values that may still be given when they are not fresh any more. */
const staleOf = (namespace: string) => `${namespace}:stale`;

/**
 * Gives the value of a key, or computes it if none is cached. One caller among all processes computes a missing
 * value, under a claim. The others wait for the value, or take the old one (`staleSeconds`). If the process that
 * computes dies, another caller computes. If `compute` throws, that caller gets the error, and a waiting caller
 * computes.
 *
 * @param compute Gives any JSON value; null is cached too.
 * @throws CortexError CLAIM_NOT_HELD if the value was not there after `waitMs`; INVALID_TTL; and what `compute`
 * throws.
 *
 * ```ts
 * const { value, source } = await cacheAside(cortex, "pages", url, () => fetchPage(url), { ttlSeconds: 3600 });
 * ```
 */
export async function cacheAside<T>(
  cortex: Surface,
  namespace: string,
  key: string,
  compute: () => Promise<T> | T,
  options: CacheOptions,
): Promise<Cached<T>> {
  const { staleSeconds = 0, waitMs = 60_000, claimSeconds: ttlSeconds = 10 } = options;
  checkTimes(options);
  if (typeof compute !== "function")
    throw refused("INVALID_OPTIONS", "compute", "is not a function");
  const fresh = await find<T>(cortex, namespace, key);
  if (fresh) return { ...fresh, source: "cache" };
  const claim = claimName("cache", namespace, key);
  const old = staleSeconds > 0 ? await find<T>(cortex, staleOf(namespace), key) : undefined;
  const outcome = await cortex.claims.with(
    claim,
    { ttlSeconds, waitMs: old ? 0 : waitMs },
    async ({ mutable }): Promise<Cached<T>> => {
      // Another caller may have computed it while this one waited.
      const found = await find<T>(cortex, namespace, key);
      if (found) return { ...found, source: "cache" };
      const value = (await compute()) ?? (null as T);
      try {
        await store(mutable, namespace, key, value, options);
      } catch (error) {
        // The claim was lost meanwhile, so another caller computes too: what it stores is newer.
        if (!(error instanceof CortexError && error.code === "FENCE_STALE")) throw error;
      }
      return { value, source: "computed" };
    },
  );
  if (outcome) return outcome;
  if (old) return { ...old, source: "stale" };
  throw new CortexError("CLAIM_NOT_HELD", `the value of ${key} was not computed in time`, {
    claim,
  });
}

/**
 * Caches a value that the caller has, whether or not one is cached. Gives the value.
 *
 * ```ts
 * const analysis = await writeThrough(cortex, "analyses", path, await analyze(path), { ttlSeconds: 3600 });
 * ```
 */
export async function writeThrough<T>(
  cortex: Surface,
  namespace: string,
  key: string,
  value: T,
  times: CacheTimes,
): Promise<T> {
  checkTimes(times);
  await store(cortex.mutable, namespace, key, value, times);
  return value;
}

/** Removes a key from the cache, also as an old value. Gives whether there was one. */
export async function invalidate(
  cortex: Surface,
  namespace: string,
  key: string,
): Promise<boolean> {
  const { deleted: wasOld } = await cortex.mutable.delete(staleOf(namespace), key);
  const { deleted } = await cortex.mutable.delete(namespace, key);
  return deleted || wasOld;
}

async function find<T>(
  cortex: Surface,
  namespace: string,
  key: string,
): Promise<{ value: T } | undefined> {
  const value = await cortex.mutable.get<T>(namespace, key);
  if (value !== null || (await cortex.mutable.exists(namespace, key))) return { value: value as T };
  return undefined;
}

/** Stores a value, and the old value beside it if there is to be one. */
async function store(
  mutable: Mutable,
  namespace: string,
  key: string,
  value: unknown,
  { ttlSeconds, staleSeconds = 0, missTtlSeconds = ttlSeconds }: CacheTimes,
): Promise<void> {
  const lasts = value === null ? missTtlSeconds : ttlSeconds;
  const entry = { op: "set" as const, namespace, key, value, ttlSeconds: lasts };
  const old = { ...entry, namespace: staleOf(namespace), ttlSeconds: lasts + staleSeconds };
  const entries = staleSeconds === 0 || value === null ? [entry] : [entry, old];
  await unwrapErrors(() => mutable.transaction(entries));
}

function checkTimes({ ttlSeconds, staleSeconds = 0, missTtlSeconds = ttlSeconds }: CacheTimes) {
  for (const [field, value] of Object.entries({ ttlSeconds, missTtlSeconds }))
    if (!(secondsOf(value, field) > 0))
      throw refused("INVALID_TTL", field, `is not above 0: ${value}`);
  if (!(secondsOf(staleSeconds, "staleSeconds") >= 0))
    throw refused("INVALID_TTL", "staleSeconds", `is below 0: ${staleSeconds}`);
}

// Runs random stores, purges and reads of immutable records, one after the other, on the server and on a
// model in memory. Both must agree on every answer. Each run has its own tenant.
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Cortex, CortexError, type ImmutableListFilters } from "../../client/index.js";
import { Retention } from "../../server/config/retention.js";
import { serve } from "../support/server.js";

const retention = new Retention(
  4,
  new Map([
    ["all", -1],
    ["one", 1],
  ]),
);
const s = serve({ retention });
const runs = Number(process.env.MODEL_RUNS ?? 8);

interface Version {
  version: number;
  data: unknown;
  metadata: { tags?: string[]; m?: number; [name: string]: unknown };
  at: number;
}
interface ModelRecord {
  type: string;
  id: string;
  /** The number of the last version. `versions` has only the versions that are kept. */
  last: number;
  versions: Version[];
  firstAt: number;
}
type Model = Map<string, ModelRecord>;
type Step = (model: Model, cortex: Cortex) => Promise<void>;

const type = fc.constantFrom("all", "few", "one");
const id = fc.constantFrom("a", "a:1", "é");
const name = fc.tuple(type, id);
const tag = fc.constantFrom("x", "y", "z");
const metadata = fc.option(
  fc.record(
    { tags: fc.uniqueArray(tag, { maxLength: 3 }), m: fc.integer({ min: 0, max: 2 }) },
    { requiredKeys: [] },
  ),
  { nil: undefined },
);
const nameOf = (type: string, id: string) => `${type}/${id}`;
const currentOf = (modelRecord: ModelRecord) => modelRecord.versions.at(-1) as Version;
const code = async (work: Promise<unknown>) => {
  try {
    await work;
    return "OK";
  } catch (error) {
    if (error instanceof CortexError) return error.code;
    throw error;
  }
};

/** Compares every read of a record with the model. */
async function agrees(model: Model, cortex: Cortex, type: string, id: string): Promise<void> {
  const modelRecord = model.get(nameOf(type, id));
  const { immutable } = cortex;
  const history = await immutable.getHistory(type, id);
  expect(
    history.map(({ version, data, metadata, createdAt }) => ({
      version,
      data,
      metadata,
      at: createdAt.getTime(),
    })),
  ).toEqual(modelRecord?.versions ?? []);
  const record = await immutable.get(type, id);
  if (!modelRecord) {
    expect(record).toBeNull();
    expect(await immutable.getVersion(type, id, 1)).toBeNull();
    return;
  }
  const { version, data, metadata, at } = currentOf(modelRecord);
  expect(record).toMatchObject({
    version,
    data,
    metadata,
    createdAt: new Date(at),
    firstCreatedAt: new Date(modelRecord.firstAt),
    hasMoreVersions: false,
  });
  expect(record?.previousVersions).toEqual(history.slice(0, -1));
  for (let n = 1; n <= modelRecord.last + 1; n++)
    expect(await immutable.getVersion(type, id, n)).toEqual(
      history.find((one) => one.version === n) ?? null,
    );
}

/** The current version at a time, according to the model. */
function currentAt({ versions }: ModelRecord, time: number): Version | undefined {
  return versions.findLast(({ at }) => at <= time);
}

const store: fc.Arbitrary<Step> = fc
  .tuple(
    name,
    fc.integer({ min: 0, max: 9 }),
    metadata,
    fc.constantFrom("none", "current", "other"),
  )
  .map(([[type, id], n, metadata, condition]) => async (model, cortex) => {
    const modelRecord = model.get(nameOf(type, id));
    const last = modelRecord?.last ?? 0;
    const ifVersion = condition === "none" ? undefined : condition === "current" ? last : last + 1;
    const outcome = await code(
      cortex.immutable.store({ type, id, data: { n }, metadata }, { ifVersion }).then((stored) => {
        const at = stored.createdAt.getTime();
        const before = modelRecord && currentOf(modelRecord);
        if (before) expect(at).toBeGreaterThan(before.at);
        const version = {
          version: last + 1,
          data: { n },
          metadata: metadata ?? before?.metadata ?? {},
          at,
        };
        const keep = retention.byType.get(type) ?? retention.defaultVersions;
        const versions = [...(modelRecord?.versions ?? []), version];
        const next: ModelRecord = {
          type,
          id,
          last: last + 1,
          versions: keep < 0 ? versions : versions.slice(-keep),
          firstAt: modelRecord?.firstAt ?? at,
        };
        model.set(nameOf(type, id), next);
        expect(stored).toMatchObject({
          type,
          id,
          version: last + 1,
          data: { n },
          metadata: version.metadata,
        });
        expect(stored.previousVersions.map((one) => one.version)).toEqual(
          next.versions.slice(0, -1).map((one) => one.version),
        );
      }),
    );
    expect(outcome).toBe(condition === "other" ? "VERSION_MISMATCH" : "OK");
    await agrees(model, cortex, type, id);
  });

const step = fc.oneof<fc.Arbitrary<Step>[]>(
  store,
  store,
  store,
  fc.tuple(name).map(([[type, id]]) => async (model, cortex) => {
    const modelRecord = model.get(nameOf(type, id));
    expect(await cortex.immutable.purge(type, id)).toMatchObject({
      deleted: modelRecord !== undefined,
      versionsDeleted: modelRecord?.versions.length ?? 0,
    });
    model.delete(nameOf(type, id));
    await agrees(model, cortex, type, id);
  }),
  fc
    .tuple(
      name,
      fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
      fc.option(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: -1, max: 1 })), {
        nil: undefined,
      }),
    )
    .map(([[type, id], keepLatest, older]) => async (model, cortex) => {
      const modelRecord = model.get(nameOf(type, id));
      const versions = modelRecord?.versions ?? [];
      const bound =
        older && (versions[older[0] % Math.max(versions.length, 1)]?.at ?? 0) + older[1];
      const olderThan = bound === undefined ? undefined : new Date(bound);
      const work = cortex.immutable.purgeVersions(type, id, { keepLatest, olderThan });
      if (keepLatest === undefined && bound === undefined) {
        expect(await code(work)).toBe("INVALID_OPTIONS");
        return;
      }
      const left = versions.filter(
        ({ version, at }) =>
          version === modelRecord?.last ||
          (keepLatest !== undefined && version > (modelRecord?.last ?? 0) - keepLatest) ||
          (bound !== undefined && at >= bound),
      );
      expect(await work).toEqual({
        versionsDeleted: versions.length - left.length,
        versionsRemaining: left.length,
      });
      if (modelRecord) modelRecord.versions = left;
      await agrees(model, cortex, type, id);
    }),
  fc.tuple(name).map(([[type, id]]) => async (model, cortex) => {
    const modelRecord = model.get(nameOf(type, id));
    for (const { at } of modelRecord?.versions ?? [])
      for (const time of [at - 1, at, at + 1]) {
        const read = await cortex.immutable.getAtTimestamp(type, id, new Date(time));
        expect([time, read?.version]).toEqual([
          time,
          modelRecord && currentAt(modelRecord, time)?.version,
        ]);
      }
    expect(await cortex.immutable.getAtTimestamp(type, id, new Date(0))).toBeNull();
    expect((await cortex.immutable.verifyHistory(type, id)).problems).toEqual([]);
  }),
  fc
    .record(
      {
        type: fc.constantFrom("all", "few", "none"),
        types: fc.uniqueArray(type, { minLength: 1, maxLength: 2 }),
        tags: fc.uniqueArray(tag, { minLength: 1, maxLength: 2 }),
        anyTag: fc.uniqueArray(tag, { minLength: 1, maxLength: 2 }),
        m: fc.integer({ min: 0, max: 2 }),
        minVersion: fc.integer({ min: 1, max: 4 }),
        after: fc.integer({ min: 0, max: 8 }),
        before: fc.integer({ min: 0, max: 8 }),
        sortBy: fc.constantFrom("createdAt" as const, "version" as const, "type" as const),
        sortOrder: fc.constantFrom("asc" as const, "desc" as const),
        limit: fc.integer({ min: 1, max: 5 }),
        offset: fc.integer({ min: 0, max: 4 }),
      },
      { requiredKeys: ["limit", "offset"] },
    )
    .chain((query) => fc.boolean().map((purging) => ({ query, purging })))
    .map(({ query, purging }) => async (model, cortex) => {
      const {
        m,
        after,
        before,
        sortBy = "createdAt",
        sortOrder = "desc",
        limit,
        offset,
        ...given
      } = query;
      const times = [...model.values()]
        .map((modelRecord) => currentOf(modelRecord).at)
        .sort((a, b) => a - b);
      const time = (i: number | undefined) =>
        i === undefined ? undefined : new Date(times[i % Math.max(times.length, 1)] ?? 0);
      const filters: ImmutableListFilters = {
        ...given,
        ...(m !== undefined && { metadata: { m } }),
        ...(after !== undefined && { createdAfter: time(after) }),
        ...(before !== undefined && { createdBefore: time(before) }),
      };
      const matching = [...model.values()].filter((modelRecord) => {
        const { metadata, at, version } = currentOf(modelRecord);
        const types: string[] = [...(given.type ? [given.type] : []), ...(given.types ?? [])];
        const tags = metadata.tags ?? [];
        return (
          (types.length === 0 || types.includes(modelRecord.type)) &&
          (given.tags ?? []).every((tag) => tags.includes(tag)) &&
          (!given.anyTag || given.anyTag.some((tag) => tags.includes(tag))) &&
          (m === undefined || metadata.m === m) &&
          version >= (given.minVersion ?? 1) &&
          (after === undefined || at > (filters.createdAfter as Date).getTime()) &&
          (before === undefined || at < (filters.createdBefore as Date).getTime())
        );
      });
      const byName = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
      const sorted = matching.sort(
        (a, b) =>
          (sortBy === "createdAt"
            ? currentOf(a).at - currentOf(b).at
            : sortBy === "version"
              ? a.last - b.last
              : 0) ||
          byName(a.type, b.type) ||
          byName(a.id, b.id),
      );
      if (sortOrder === "desc") sorted.reverse();
      expect(await cortex.immutable.count(filters)).toBe(sorted.length);
      const page = await cortex.immutable.list({
        ...filters,
        sortBy,
        sortOrder,
        limit,
        offset,
        includeHistory: true,
      });
      expect(page).toMatchObject({
        total: sorted.length,
        limit,
        offset,
        hasMore: sorted.length > offset + limit,
      });
      expect(
        page.records.map(({ type, id, version, previousVersions }) => [
          type,
          id,
          version,
          previousVersions.length + 1,
        ]),
      ).toEqual(
        sorted
          .slice(offset, offset + limit)
          .map(({ type, id, last, versions }) => [type, id, last, versions.length]),
      );
      if (!purging || Object.keys(filters).length === 0) return;
      const purged = await cortex.immutable.purgeMany(filters);
      expect(purged).toMatchObject({
        recordsAffected: sorted.length,
        versionsDeleted: sorted.reduce((sum, { versions }) => sum + versions.length, 0),
      });
      for (const { type, id } of sorted) model.delete(nameOf(type, id));
    }),
);

it("agrees with the model", async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      const cortex = s.client({ tenantId: `run-${run++}` });
      const model: Model = new Map();
      for (const take of steps) await take(model, cortex);
      await cortex.close();
    }),
    { numRuns: runs },
  );
}, 600_000);

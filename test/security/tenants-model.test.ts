// Runs random operations of three tenants, under names that look alike or have a special meaning somewhere.
// Each tenant has its own model. A tenant must see exactly the data of its model.
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Cortex } from "../../client/index.js";
import { Retention } from "../../server/config/retention.js";
import { auditType } from "../../server/storage/audit/audit.js";
import { serve } from "../support/server.js";

const s = serve({ retention: new Retention(-1) });

// `tenants` are the ids of tenants. `names` are used for everything inside of a tenant.
const tenants = [
  "a",
  "a:b",
  "a%",
  "a_",
  "'; drop table mutable; --",
  "a' or '1'='1",
  "A",
  "",
  "*",
  "tenant_view",
];
const names = [
  "k",
  "k:",
  "k:k",
  "%",
  "_",
  "k%",
  "'",
  '"',
  "''; drop table users; --",
  "\u05d0\u05d1",
  "\u202ek\u202c",
  "k\u200b",
  "\u200bk",
  "ｋ",
  "é",
  "e\u0301",
  "🎉",
  "\\",
  "null",
  "{}",
];

interface Versioned {
  versions: { data: unknown; user: string | undefined }[];
}

/** The data of one tenant. */
class Model {
  readonly entries = new Map<
    string,
    { namespace: string; key: string; value: number; user: string | undefined }
  >();
  readonly records = new Map<string, Versioned & { type: string; id: string }>();
  readonly users = new Set<string>();
  purged = 0;
}

type Step = (cortex: Cortex, model: Model) => Promise<void>;

const name = fc.constantFrom(...names);
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => "done",
    (error: { code: string }) => error.code,
  );
const at = (namespace: string, key: string) => JSON.stringify([namespace, key]);

const step: fc.Arbitrary<Step> = fc.oneof(
  fc
    .tuple(name, name, fc.nat(9), fc.option(name))
    .map(([namespace, key, value, user]) => async (c: Cortex, m: Model) => {
      const outcome = await code(
        c.mutable.set(namespace, key, value, user === null ? {} : { userId: user }),
      );
      if (user !== null && !m.users.has(user)) return expect(outcome).toBe("USER_NOT_FOUND");
      expect(outcome).toBe("done");
      m.entries.set(at(namespace, key), {
        namespace,
        key,
        value,
        user: user ?? m.entries.get(at(namespace, key))?.user,
      });
    }),
  fc.tuple(name, name).map(([namespace, key]) => async (c: Cortex, m: Model) => {
    const entry = m.entries.get(at(namespace, key));
    expect(await c.mutable.get(namespace, key)).toBe(entry?.value ?? null);
    expect(await c.mutable.exists(namespace, key)).toBe(entry !== undefined);
  }),
  fc.tuple(name, name).map(([namespace, key]) => async (c: Cortex, m: Model) => {
    const entry = m.entries.get(at(namespace, key));
    expect(
      await code(c.mutable.transaction([{ op: "increment", namespace, key, amount: 1 }])),
    ).toBe(entry ? "done" : "TRANSACTION_FAILED");
    if (entry) entry.value++;
  }),
  fc.tuple(name, name).map(([namespace, key]) => async (c: Cortex, m: Model) => {
    expect((await c.mutable.delete(namespace, key)).deleted).toBe(
      m.entries.delete(at(namespace, key)),
    );
  }),
  fc.tuple(name, name).map(([namespace, keyPrefix]) => async (c: Cortex, m: Model) => {
    const own = [...m.entries.values()].filter(
      (one) => one.namespace === namespace && one.key.startsWith(keyPrefix),
    );
    const { records, total } = await c.mutable.list(namespace, { keyPrefix });
    expect([records.map(({ key, value }) => [key, value]).sort(), total]).toEqual([
      own.map(({ key, value }) => [key, value]).sort(),
      own.length,
    ]);
    expect(await c.mutable.count(namespace, { keyPrefix })).toBe(own.length);
  }),
  fc.tuple(name, name).map(([namespace, keyPrefix]) => async (c: Cortex, m: Model) => {
    const own = [...m.entries].filter(
      ([, one]) => one.namespace === namespace && one.key.startsWith(keyPrefix),
    );
    expect((await c.mutable.purgeMany(namespace, { keyPrefix })).deleted).toBe(own.length);
    for (const [place] of own) m.entries.delete(place);
    if (own.length > 0) m.purged++;
  }),
  fc
    .tuple(name, name, fc.nat(9), fc.option(name))
    .map(([type, id, n, user]) => async (c: Cortex, m: Model) => {
      const data = { n, text: `${type} ${id}` };
      const outcome = await code(
        c.immutable.store({ type, id, data, ...(user !== null && { userId: user }) }),
      );
      if (user !== null && !m.users.has(user)) return expect(outcome).toBe("USER_NOT_FOUND");
      expect(outcome).toBe("done");
      const record = m.records.get(at(type, id)) ?? { type, id, versions: [] };
      record.versions.push({ data, user: user ?? record.versions.at(-1)?.user });
      m.records.set(at(type, id), record);
    }),
  fc.tuple(name, name).map(([type, id]) => async (c: Cortex, m: Model) => {
    const record = m.records.get(at(type, id));
    expect((await c.immutable.getHistory(type, id)).map(({ data }) => data)).toEqual(
      record?.versions.map(({ data }) => data) ?? [],
    );
    expect(await c.immutable.count({ type })).toBe(
      [...m.records.values()].filter((one) => one.type === type).length,
    );
  }),
  fc.tuple(name, name).map(([type, id]) => async (c: Cortex, m: Model) => {
    expect((await c.immutable.purge(type, id)).deleted).toBe(m.records.has(at(type, id)));
    if (m.records.delete(at(type, id))) m.purged++;
  }),
  name.map((id) => async (c: Cortex, m: Model) => {
    expect(await code(c.users.create(id))).toBe(m.users.has(id) ? "USER_EXISTS" : "done");
    m.users.add(id);
  }),
  name.map((id) => async (c: Cortex, m: Model) => {
    const mixed = [...m.records.values()].some(
      ({ versions }) =>
        versions.some(({ user }) => user === id) && versions.some(({ user }) => user !== id),
    );
    if (mixed) return; // test/users/delete.test.ts tests records with versions of several users
    const own = [...m.entries].filter(([, { user }]) => user === id);
    const records = [...m.records].filter(([, { versions }]) =>
      versions.some(({ user }) => user === id),
    );
    const { deleted, counts } = await c.users.delete(id, { cascade: true });
    expect(deleted).toBe(m.users.delete(id));
    expect([counts.mutable ?? 0, counts.immutable ?? 0]).toEqual([own.length, records.length]);
    for (const [place] of own) m.entries.delete(place);
    for (const [place] of records) m.records.delete(place);
    if (deleted) m.purged++;
  }),
);

/** Compares everything that a tenant can see with its model. */
async function compare(cortex: Cortex, model: Model): Promise<void> {
  const namespaces = await cortex.mutable.listNamespaces();
  const own = [...model.entries.values()];
  expect(namespaces.map(({ namespace, keys }) => [namespace, keys]).sort()).toEqual(
    [...new Set(own.map(({ namespace }) => namespace))]
      .map((ns) => [ns, own.filter(({ namespace }) => namespace === ns).length])
      .sort(),
  );
  for (const { namespace } of namespaces)
    for (const { key, value, userId } of (await cortex.mutable.list(namespace)).records)
      expect(model.entries.get(at(namespace, key))).toMatchObject({ value, user: userId });
  expect((await cortex.users.list()).records.map(({ id }) => id).sort()).toEqual(
    [...model.users].sort(),
  );
  const { records } = await cortex.immutable.list({ limit: 1000 });
  expect(records.map(({ type, id, version, data }) => [type, id, version, data]).sort()).toEqual(
    [...model.records.values()]
      .map(({ type, id, versions }) => [type, id, versions.length, versions.at(-1)?.data])
      .sort(),
  );
  // Each purge that deleted something, and each erasure, has left a record in the audit trail of its tenant.
  expect((await cortex.immutable.list({ type: auditType })).total).toBe(model.purged);
  for (const { record } of await cortex.immutable.search("k", { limit: 1000 }))
    expect(model.records.has(at(record.type, record.id))).toBe(true);
}

it("each of three tenants sees what a model of its own sees", async () => {
  let run = 0;
  const steps = fc.array(fc.tuple(fc.nat(2), step), { minLength: 10, maxLength: 40 });
  const three = fc.uniqueArray(fc.constantFrom(...tenants), { minLength: 3, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(three, steps, async (ids, all) => {
      // Tenant ids that no earlier run has used, as similar as the names above.
      const views = ids.map((id) => ({
        cortex: s.client({ tenantId: `${id}#${run}`.trim() }),
        model: new Model(),
      }));
      run++;
      for (const [who, step] of all) {
        const { cortex, model } = views[who] as (typeof views)[number];
        await step(cortex, model);
      }
      for (const { cortex, model } of views) {
        await compare(cortex, model);
        await cortex.close();
      }
    }),
    { numRuns: Number(process.env.TENANT_RUNS ?? 8) },
  );
}, 600_000);

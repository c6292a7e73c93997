// Tests the views that isolate tenants. The test removes the tenant condition from every statement of the
// server. The statements must still find nothing of another tenant.
import { expect, it, vi } from "vitest";
import { type Sql, viewSchema } from "../../server/postgres/connection.js";
import { dump } from "../support/dump.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";
import { answer, marker, methods, requestsOf, seed } from "../support/tenant-isolation.js";
import { tenantPool } from "../support/tenant-pool.js";

let rewritten = 0;
vi.mock("../../server/postgres/connection.js", async (original) => {
  const module = await original<typeof import("../../server/postgres/connection.js")>();
  /**
   * Replaces `x.tenant = …` by a condition that is always true: no text is greater than itself with a suffix.
   */
  const withoutTenantConditions = (sql: Sql) =>
    new Proxy(sql, {
      apply(target, self, [strings, ...values]: [TemplateStringsArray, ...unknown[]]) {
        if (!Array.isArray((strings as TemplateStringsArray | undefined)?.raw))
          return Reflect.apply(target as never, self, [strings, ...values]);
        const rewrittenStrings = strings.map((text) =>
          text.replace(/(\b\w+\.)tenant = /g, (_, of: string) => {
            rewritten++;
            return `${of}tenant <= ${of}tenant || `;
          }),
        );
        const template = Object.assign(rewrittenStrings, { raw: rewrittenStrings });
        return Reflect.apply(target as never, self, [template, ...values]);
      },
    });
  return {
    ...module,
    connect: (...args: Parameters<typeof module.connect>) =>
      withoutTenantConditions(module.connect(...args)),
  };
});

const s = serve({ allowPurgeAll: true });

it("a tenant finds nothing of another tenant, and changes nothing of it, with any RPC", async () => {
  await seed(s.client({ tenantId: "owner" }));
  const rows = async () =>
    (await dump(s.sql)).split("\n").filter((line) => /^\w+ \(owner,/.test(line));
  const before = await rows();
  rewritten = 0;
  const raw = new Raw(s.address);
  for (const method of methods)
    for (const request of requestsOf(method)) {
      const reply = JSON.stringify(await answer(raw, method, request, "stranger"));
      expect([method.name, reply]).not.toEqual([method.name, expect.stringContaining(marker)]);
      expect([method.name, reply]).not.toEqual([
        method.name,
        expect.stringContaining("REVISION_MISMATCH"),
      ]);
    }
  expect(rewritten).toBeGreaterThan(100);
  expect(await rows()).toEqual(before);
  raw.close();
});

it("calls of two tenants that share a statement get nothing of each other: an error at most", async () => {
  await s.client({ tenantId: "one" }).mutable.set("shared", "k", marker);
  const raw = new Raw(s.address);
  const outcomes = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const tenant = i % 2 ? "one" : "two";
      const method =
        methods[methods.findIndex(({ name }) => name === (i % 4 < 2 ? "Get" : "Update"))];
      if (!method) throw new Error("no method");
      const request = requestsOf(method)[0];
      const named = { ...request, namespace: "shared", key: "k" } as never;
      return [tenant, JSON.stringify(await answer(raw, method, named, tenant))] as const;
    }),
  );
  for (const [tenant, reply] of outcomes) if (tenant === "two") expect(reply).not.toContain(marker);
  expect(await s.client({ tenantId: "two" }).mutable.get("shared", "k")).toBeNull();
  raw.close();
});

it("every table of tenants has its view, which takes no row of another tenant", async () => {
  const tables = await s.sql`
    select table_name from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
    where table_schema = 'public' and column_name = 'tenant' and table_type = 'BASE TABLE'
      and not exists (select from pg_class where oid = to_regclass(quote_ident(table_name)) and relispartition) order by 1`;
  const views = await s.sql`
    select table_name from information_schema.views where table_schema = ${viewSchema} and check_option = 'LOCAL' order by 1`;
  expect(views.map(({ table_name }) => table_name)).toEqual(
    tables.map(({ table_name }) => table_name),
  );
  const columns = (schema: string) => s.sql`
    select table_name, column_name from information_schema.columns
    where table_schema = ${schema} and table_name = any(${tables.map(({ table_name }) => table_name)}) and column_name <> 'tid' order by 1, 2`;
  expect(await columns(viewSchema)).toEqual(await columns("public"));
  const { run, close } = tenantPool(s.databaseUrl, 1, { allTenants: false });
  const create = (tenant: string) =>
    run("mine")(
      (sql) =>
        sql`insert into users (tenant, id, created_at, updated_at) values (${tenant}, 'u', now(), now()) returning id`,
    );
  expect(await create("mine")).toEqual([{ id: "u" }]);
  await expect(create("theirs")).rejects.toMatchObject({ code: "44000" });
  await close();
});

it("the views prevent this: if they let every row through, the other tenant's data is found", async () => {
  await seed(s.client({ tenantId: "exposed" }));
  await s.sql`create or replace function works_for(tenant text) returns boolean language sql stable as 'select true'`;
  const raw = new Raw(s.address);
  const found = new Set<string>();
  for (const method of methods)
    for (const request of requestsOf(method)) {
      const reply = JSON.stringify(await answer(raw, method, request, "thief"));
      if (reply.includes(marker)) found.add(method.name);
    }
  expect([...found]).toEqual(
    expect.arrayContaining(["GetRecord", "BatchGet", "List", "GetHistory", "Search"]),
  );
  raw.close();
});

// Checks that no RPC shows a tenant's data to callers who may not see it. support/tenant-isolation.ts makes
// the calls.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { keyFile, newKey } from "../support/credentials.js";
import { temporaryDirectory } from "../support/directory.js";
import { dump } from "../support/dump.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";
import { answer, marker, methods, requestsOf, seed } from "../support/tenant-isolation.js";

const s = serve({ allowPurgeAll: true });

/** The rows of a tenant in all tables. */
const rowsOf = async (tenant: string) =>
  (await dump(s.sql))
    .split("\n")
    .filter((line) => new RegExp(`^\\w+ \\("?${tenant}"?,`).test(line));

it("every RPC of every service answers a tenant as if there were no other tenant, and changes nothing of the other", async () => {
  const raw = new Raw(s.address);
  const lonely = new Map<string, unknown>();
  const called: string[] = [];
  const ask = async (tenant: string, each: (name: string, reply: unknown) => void) => {
    for (const method of methods)
      for (const [i, request] of requestsOf(method).entries()) {
        const name = `${method.parent.typeName}/${method.name} ${i}`;
        each(name, await answer(raw, method, request, tenant));
      }
  };
  await ask("lonely", (name, reply) => {
    lonely.set(name, reply);
    called.push(name);
  });
  expect(called.length).toBeGreaterThan(methods.length);
  await seed(s.client({ tenantId: "owner" }));
  const before = await rowsOf("owner");
  expect(before.length).toBeGreaterThan(8);
  await ask("stranger", (name, reply) => {
    expect([name, reply]).toEqual([name, lonely.get(name)]);
    expect(JSON.stringify(reply)).not.toContain(marker);
  });
  expect(await rowsOf("owner")).toEqual(before);
  // The owner itself does find its data, so the check above would notice a leak.
  const seen: string[] = [];
  await ask("owner", (name, reply) => {
    if (JSON.stringify(reply).includes(marker)) seen.push(name);
  });
  expect(seen.length).toBeGreaterThan(6);
  raw.close();
});

describe("where credentials are asked for", () => {
  it("every RPC of every service refuses callers with none or with those of another tenant, and changes nothing", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory.path, "keys.json");
    const key = newKey();
    await writeFile(
      path,
      keyFile([{ principal: "stranger", key, tenants: ["theirs"], permissions: ["admin"] }]),
    );
    const { address } = await s.another({ auth: "keys", authKeysFile: path });
    await seed(s.client({ tenantId: "guarded" }));
    const before = await rowsOf("guarded");
    const raw = new Raw(address);
    for (const method of methods)
      for (const request of requestsOf(method)) {
        const refused = { authorization: `Bearer ${key}` };
        const replies = [
          [await answer(raw, method, request, "guarded", refused), status.PERMISSION_DENIED],
          [await answer(raw, method, request, "guarded"), status.UNAUTHENTICATED],
          [
            await answer(raw, method, request, "guarded", { authorization: "Bearer x" }),
            status.UNAUTHENTICATED,
          ],
          [
            await answer(raw, method, request, "", refused),
            method.methodKind === "bidi_streaming" ? undefined : 0,
          ],
        ] as const;
        for (const [reply, code] of replies) {
          expect(JSON.stringify(reply)).not.toContain(marker);
          const [only] = Array.isArray(reply) ? reply : [reply];
          if (code) expect([method.name, only]).toMatchObject([method.name, { status: code }]);
        }
      }
    expect(await rowsOf("guarded")).toEqual(before);
    raw.close();
    await directory.remove();
  });
});

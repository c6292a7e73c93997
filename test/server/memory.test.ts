// Large requests that wait do not end the server: it holds a bounded number of bytes, for all calls and for each
// tenant, and refuses the rest.
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { framed, Session } from "../support/frames.js";
import { type ServerProcess, spawnServer } from "../support/process.js";
import { type Proxy as DatabaseProxy, proxyToPostgres } from "../support/proxy.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const calls = Number(process.env.LARGE_CALLS ?? 200);
const { batchSet } = MutableStore.method;
const path = `/${MutableStore.typeName}/${batchSet.name}`;
const overloaded = "8"; // RESOURCE_EXHAUSTED

let server: ServerProcess;
let proxy: DatabaseProxy;
beforeAll(async () => {
  const proxied = await proxyToPostgres(s.databaseUrl);
  proxy = proxied.proxy;
  server = await spawnServer(["--database-url", proxied.url, "--drain-seconds", "1"], {
    NODE_OPTIONS: "--max-old-space-size=384",
  });
});
afterAll(async () => {
  await server.end();
  proxy.close();
});

/** A BatchSet of about this many bytes. */
const request = (bytes: number) => {
  const value = JSON.stringify("x".repeat(bytes / 4));
  const entries = [0, 1, 2, 3].map((i) => ({ key: `k${i}`, valueJson: value }));
  return framed(toBinary(batchSet.input, create(batchSet.input, { namespace: "large", entries })));
};

it(`${calls} calls of nearly 4 MiB while the database is silent: most are refused, and the server lives`, async () => {
  const raw = new Raw(server.address);
  const set = () =>
    raw.call(MutableStore.method.set, { namespace: "small", key: "k", valueJson: "1" });
  expect(await set()).not.toHaveProperty("reason");
  proxy.freeze(true);
  const large = request(3.6 * 1024 * 1024);
  const sessions = [0, 1, 2, 3].map(() => new Session(server.address));
  const replies = await Promise.all(
    Array.from({ length: calls }, (_, i) =>
      (sessions[i % 4] as Session).send(
        path,
        { "grpc-timeout": "8S", "x-tenant-id": `tenant-${i % 3}` },
        large,
      ),
    ),
  );
  const refused = replies.filter(({ grpc }) => grpc === overloaded);
  expect(refused.length).toBeGreaterThan(calls / 2);
  for (const { message } of refused)
    expect(decodeURIComponent(message)).toMatch(/overloaded|too many/i);
  // The others ran out of time, or their connection to the database was given up.
  expect(replies.filter(({ grpc }) => !["8", "4", "14"].includes(grpc ?? ""))).toEqual([]);
  proxy.thaw();
  await expect.poll(async () => "reason" in (await set()), { timeout: 15_000 }).toBe(false);
  // The bytes of calls that are over do not count.
  expect((await (sessions[0] as Session).send(path, {}, large)).grpc).toBe("0");
  for (const session of sessions) session.close();
  raw.close();
});

it("one tenant has its share of the bytes, and another is served meanwhile", async () => {
  const { address } = await s.another({
    requestBytesMax: 40 * 1024 * 1024,
    tenantRequestBytesMax: 8 * 1024 * 1024,
  });
  const holder = await s.sql.reserve();
  await holder`begin`;
  await holder`
    insert into mutable (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
    values ('one', 'large', 'k1', '1', now(), now(), nextval('revision'), 0)`;
  const large = request(3.6 * 1024 * 1024);
  const sessions = Array.from({ length: 5 }, () => new Session(address));
  const send = (session: Session, tenant: string) =>
    session.send(path, { "grpc-timeout": "3S", "x-tenant-id": tenant }, large);
  const replies = Promise.all(sessions.map((session) => send(session, "one")));
  const other = await send(new Session(address), "other");
  expect(other.grpc).toBe("0");
  const counts = (await replies).map(({ grpc }) => grpc).sort();
  expect(counts).toEqual(["4", "4", overloaded, overloaded, overloaded]);
  await holder`rollback`;
  holder.release();
  for (const session of sessions) session.close();
});

it("a conversation holds the bytes of the message that it is at, however many it has sent", async () => {
  const { address } = await s.another({ requestBytesMax: 4 * 1024 * 1024 });
  const client = s.client({ address });
  const text = "y".repeat(900_000);
  // Ten reads and writes of 900 KB under locks.
  await client.mutable.set("held", "k", text);
  for (let i = 0; i < 10; i++) await client.mutable.update("held", "k", (value: string) => value);
  expect((await client.mutable.get("held", "k")).length).toBe(900_000);
});

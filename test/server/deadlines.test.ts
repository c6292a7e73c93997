// Checks that a call whose deadline has passed, or whose caller has gone, holds no connection and no lock.
import { once } from "node:events";
import { connect } from "node:http2";
import { setTimeout as pause } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import type { Cortex } from "../../client/index.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({ poolSize: 2 });

/** Counts the statements of the server that are running. */
const running = async () =>
  (
    await s.sql`
      select query from pg_stat_activity
      where datname = current_database() and application_name = 'cortex-store' and state <> 'idle'`
  ).length;

const until = async (condition: () => Promise<boolean>) => {
  while (!(await condition())) await pause(5);
};

describe("a call that waits for a lock", () => {
  it.each([
    ["deadline", { timeoutMs: 150 }, "DEADLINE_EXCEEDED"],
    ["signal", { signal: AbortSignal.timeout(150) }, "CANCELLED"],
  ] as const)("gives up at its %s, and is not applied later", async (_, options, code) => {
    await s.cortex.mutable.set("locks", "k", 1);
    await s.sql.begin(async (tx) => {
      await tx`select from mutable where namespace = 'locks' for update`;
      await expect(s.cortex.mutable.increment("locks", "k", 1, options)).toFailWith(code);
      await until(async () => (await running()) === 0); // while the lock is still held
    });
    expect(await s.cortex.mutable.get("locks", "k")).toBe(1);
  });

  it("leaves the queue for a connection, and is not applied later", async () => {
    const { mutable } = s.cortex;
    await mutable.set("queue", "k", 1);
    const begun = async (options = {}) => {
      const transaction = new RawTransaction(s.address, {}, options);
      await transaction.ask({ case: "begin", value: {} });
      return transaction;
    };
    const place = (key: string) => ({ namespace: "queue", key });
    const holders = await Promise.all([1, 2, 3, 4, 5].map(() => begun())); // as many as a tenant may hold
    for (const [i, holder] of holders.entries())
      await holder.ask({ case: "read", value: { keys: [place(`held-${i}`)] } });
    const late = await begun({ deadline: new Date(Date.now() + 200) });
    const operation = { case: "set" as const, value: { valueJson: "1" } };
    const operations = [{ ...place("late"), operation }];
    await expect(late.ask({ case: "write", value: { operations } })).rejects.toMatchObject({
      status: status.DEADLINE_EXCEEDED,
    });
    // Other calls use other pools, so they are served meanwhile.
    expect(await mutable.count("queue")).toBe(1);
    expect((await mutable.increment("queue", "k")).value).toBe(2);
    for (const transaction of [...holders, late]) transaction.close();
    await until(async () => (await running()) === 0);
    expect(await mutable.get("queue", "late")).toBeNull();
  });

  it("does not disturb others by its end: a thousand calls with 1 ms to live, among patient ones", async () => {
    await s.cortex.mutable.set("storm", "k", 0);
    // Several clients are used: HTTP/2 in Node treats about a thousand resets at once on one connection as an
    // attack.
    const clients = Array.from({ length: 4 }, () => s.client());
    const storm = Array.from({ length: 1000 }, (_, i) =>
      (clients[i % 4] as Cortex).mutable
        .increment("storm", "hasty", 1, { timeoutMs: 1, createIfMissing: true })
        .catch(() => {}),
    );
    const patient = Array.from({ length: 200 }, () => s.cortex.mutable.increment("storm", "k"));
    await Promise.all([...patient, ...storm]);
    expect(await s.cortex.mutable.get("storm", "k")).toBe(200);
    await until(async () => (await running()) === 0);
  });
});

describe("a list whose reader stalls", () => {
  const { list } = MutableStore.method;
  const open = (client: Client) => {
    const stream = client.makeServerStreamRequest(
      `/${MutableStore.typeName}/List`,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      Buffer.from(toBinary(list.input, create(list.input, { namespace: "stalled", limit: 1000 }))),
      new Metadata(),
    );
    stream.on("error", () => {});
    stream.pause();
    return stream;
  };

  it("holds no connection, and ends when the reader goes", async () => {
    for (let i = 0; i < 30; i++)
      await s.cortex.mutable.set("stalled", `k${i}`, "x".repeat(500_000));
    const client = new Client(s.address, credentials.createInsecure());
    // There are far more streams than connections in the pool for lists.
    const streams = Array.from({ length: 10 }, () => open(client));
    await pause(300);
    await until(async () => (await running()) === 0);
    expect(await s.cortex.mutable.list("stalled", { limit: 2 })).toMatchObject({
      total: 30,
      hasMore: true,
    });
    for (const stream of streams) stream.cancel();
    client.close();
    expect(await s.cortex.mutable.count("stalled")).toBe(30);
  });

  it("does not keep the server from stopping", async () => {
    const other = await s.another({ drainSeconds: 60 });
    const client = new Client(other.address, credentials.createInsecure());
    const streams = Array.from({ length: 4 }, () => open(client));
    await pause(200);
    for (const stream of streams) stream.cancel();
    await other.stop(); // would take the drain time if a cancelled stream waited for its reader
    client.close();
  });
});

describe("a deadline further away than a timer can wait", () => {
  it.each(["597H", "597 H", "99999999H", "99999999M", "2592000S"])(
    "is kept: grpc-timeout %s",
    async (timeout) => {
      const session = connect(`http://${s.address}`);
      const stream = session.request({
        ":method": "POST",
        ":path": `/${MutableStore.typeName}/Set`,
        "content-type": "application/grpc",
        te: "trailers",
        "grpc-timeout": timeout,
      });
      const message = toBinary(
        MutableStore.method.set.input,
        create(MutableStore.method.set.input, { namespace: "far", key: "k", valueJson: "1" }),
      );
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([prefix, message]));
      stream.resume();
      const [trailers] = await once(stream, "trailers");
      expect(trailers["grpc-status"]).toBe("0");
      session.close();
    },
  );

  it("is kept by the client too", async () => {
    for (const timeoutMs of [2_147_483_001, 2 ** 31, 86_400_000 * 30, Number.POSITIVE_INFINITY]) {
      const options = { timeoutMs };
      await s.cortex.mutable.set("far", "k", 1, options);
      await s.cortex.mutable.update("far", "k", (n: number) => n + 1, options);
      await s.cortex.mutable.transaction((tx) => tx.set("far", "k", 3), options);
      expect(await s.client(options).mutable.get("far", "k")).toBe(3);
      for await (const { key } of s.cortex.mutable.scan("far", {}, options)) expect(key).toBe("k");
    }
  });
});

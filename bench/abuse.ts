// Abusive clients and busy tenants, for storm.ts. Arguments: KIND ADDRESS OTHER-ADDRESS. It prints "ready" when
// it is at it, and goes on until it is killed.
import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import { setTimeout as pause } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Cortex } from "../client/index.js";
import { MutableStore, UpdateRequestSchema } from "../gen/cortex/mutable/v1/mutable_pb.js";
import { RawTransaction } from "../test/support/raw.js";
import { Resetter } from "../test/support/resetter.js";
import { Load } from "./load.js";

const stormEach = 5; // calls in one burst
const stormMs = 5; // the pause between two bursts, so about 1000 calls/s
const path = (method: string) => `/${MutableStore.typeName}/${method}`;
const ready = () => console.log("ready");
const tenantId = "busy";
const forever = async (work: (n: number) => Promise<unknown>): Promise<never> => {
  for (let n = 0; ; n++) await work(n).catch(() => {});
};

const kinds = {
  /** 2000 connections, 200 readers that read nothing, and 1000 calls/s with a deadline of 1 ms. */
  async connections(address: string): Promise<void> {
    const idle: ClientHttp2Session[] = [];
    for (let i = 0; i < 2000; i += 100) {
      const more = Array.from({ length: 100 }, () => connect(`http://${address}`));
      for (const session of more) session.on("error", () => {});
      await Promise.all(more.map((session) => once(session, "connect")));
      idle.push(...more);
    }
    const list = Buffer.from("0a0573746f726d18e807", "hex"); // namespace "storm", limit 1000
    for (let i = 0; i < 200; i++) {
      const session = connect(`http://${address}`, { settings: { initialWindowSize: 0 } });
      session.on("error", () => {});
      const stream = session.request({
        ":method": "POST",
        ":path": path("List"),
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => {}).resume();
      stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, list.length]), list]));
      if (i % 20 === 0) await once(stream, "response");
    }
    ready();
    const increment = create(UpdateRequestSchema, {
      namespace: "storm-m",
      key: "k",
      operation: { case: "increment", value: {} },
      createIfMissing: true,
    });
    const update = toBinary(UpdateRequestSchema, increment);
    const hasty = Array.from({ length: 8 }, () => new Load(address, { "grpc-timeout": "1m" }));
    await forever(async () => {
      for (let n = 0; n < stormEach; n++)
        hasty[n % hasty.length]?.call(path("Update"), update).catch(() => {});
      await pause(stormMs);
    });
  },

  /** Opens and resets calls, and connects again whenever it is cut. */
  async resets(address: string): Promise<void> {
    ready();
    await forever(async () => {
      const caller = new Resetter(address);
      if (await caller.isKept()) while (!caller.isClosed) await caller.openAndReset(100);
    });
  },

  /** 10 000 calls in flight, half of them reads. */
  async calls(address: string): Promise<void> {
    const clients = Array.from({ length: 10 }, () => new Cortex({ address, tenantId }));
    ready();
    await Promise.all(
      clients.flatMap(({ mutable }, c) =>
        Array.from({ length: 1000 }, (_, i) =>
          forever((n) =>
            n % 2 ? mutable.get("ns", `k${i}`) : mutable.set("ns", `k${(i * 7 + c) % 1000}`, n),
          ),
        ),
      ),
    );
  },

  /** 32 small merges into values of 0.9 MB in flight. */
  async merges(address: string): Promise<void> {
    const { mutable } = new Cortex({ address, tenantId, timeoutMs: 120_000 });
    const keys = Array.from({ length: 32 }, (_, i) => `large-${i}`);
    for (const key of keys) await mutable.set("ns", key, { text: "x".repeat(900_000) });
    ready();
    await Promise.all(keys.map((key) => forever((n) => mutable.merge("ns", key, { n }))));
  },

  /** 400 writes that wait for keys which a transaction on another server has found absent. */
  async locks(address: string, other: string): Promise<void> {
    const { mutable } = new Cortex({ address, tenantId });
    await forever(async (n) => {
      const holder = new RawTransaction(other, { "x-tenant-id": tenantId });
      const keys = Array.from({ length: 400 }, (_, i) => `locked-${process.pid}-${n}-${i}`);
      await holder.ask({ case: "begin", value: {} });
      const read = keys.map((key) => ({ namespace: "ns", key }));
      await holder.ask({ case: "read", value: { keys: read } });
      const sets = keys.map((key) => mutable.set("ns", key, n).catch(() => {}));
      if (n === 0) ready();
      await pause(3000);
      await holder.ask({ case: "commit", value: {} });
      holder.close();
      await Promise.all(sets);
    });
  },
};

export type Abuse = keyof typeof kinds;

const [, script, kind, address = "", other = ""] = process.argv;
if (script === import.meta.filename) await kinds[kind as Abuse](address, other);

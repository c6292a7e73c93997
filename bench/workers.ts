// What more workers and larger pools are worth on this machine. Each worker takes some of the connections.
import { create, type DescMethod, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { MutableStore } from "../gen/cortex/mutable/v1/mutable_pb.js";
import { inFlight } from "./calls.js";
import { Load } from "./load.js";
import type { Meter, Subject } from "./meter.js";
import { type Server, serverOn } from "./process.js";

const { get, getRecord, set } = MutableStore.method;
const valueJson = JSON.stringify({ text: "x".repeat(199) }); // 210 bytes
const connections = 16;

export async function workers(meter: Meter, url: string): Promise<void> {
  const entry = (n: number) => ({ namespace: "bench", key: `k${n % 1000}` });
  const alternatives = async (
    settings: [name: string, settings: string[]][],
    calls: [name: string, work: (loads: Load[], n: number) => Promise<void>][],
  ) => {
    const servers: [string, Server, Load[]][] = [];
    for (const [name, more] of settings) {
      const server = await serverOn(url, "workers", ["--watch-retention", "0", ...more]);
      const loads = Array.from({ length: connections }, () => new Load(server.address));
      for (let n = 0; n < 1000; n++) await send(loads, n, set, { ...entry(n), valueJson });
      servers.push([name, server, loads]);
    }
    for (const [what, work] of calls) {
      const subjects = servers.map(
        ([name, { pid }, loads]): Subject => ({ name, work: (n) => work(loads, n), server: pid }),
      );
      await meter.compare(what, subjects, { count: 10_000, concurrency: inFlight });
    }
    for (const [, server, loads] of servers) {
      for (const load of loads) load.close();
      await server.stop();
    }
  };
  await alternatives(
    ["1", "2", "3"].map((count) => [`--workers ${count}`, ["--workers", count]]),
    [
      ["workers: Set", (loads, n) => send(loads, n, set, { ...entry(n), valueJson })],
      ["workers: Get", (loads, n) => send(loads, n, get, entry(n))],
    ],
  );
  await alternatives(
    ["2", "10"].map((size) => [`--pool-size ${size}`, ["--pool-size", size]]),
    [["pool size: GetRecord", (loads, n) => send(loads, n, getRecord, entry(n))]],
  );
}

const send = <M extends DescMethod>(
  loads: Load[],
  n: number,
  method: M,
  init: MessageInitShape<M["input"]>,
) =>
  (loads[n % loads.length] as Load).call(
    `/${MutableStore.typeName}/${method.name}`,
    toBinary(method.input, create(method.input, init) as never),
  );

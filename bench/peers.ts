// The same work on etcd and on Redis, as durable, where they are installed (Debian: etcd-server, redis-server).
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { MutableStore } from "../gen/cortex/mutable/v1/mutable_pb.js";
import { inFlight } from "./calls.js";
import { Load } from "./load.js";
import type { Meter, Subject } from "./meter.js";
import type { Server } from "./process.js";
import { startRedis } from "./redis.js";

const text = JSON.stringify({ text: "x".repeat(199) }); // 210 bytes
const key = (n: number) => `k${n % 1000}`;

export async function peers(meter: Meter, { address, pid }: Server): Promise<void> {
  const load = new Load(address);
  const etcd = await startEtcd();
  const redis = await startRedis(inFlight);
  const { set, get } = MutableStore.method;
  const path = (name: string) => `/${MutableStore.typeName}/${name}`;
  const entry = (n: number) => ({ namespace: "peers", key: key(n) });
  const sets: Subject[] = [
    {
      name: "Cortex Store",
      work: (n) =>
        load.call(
          path("Set"),
          toBinary(set.input, create(set.input, { ...entry(n), valueJson: text })),
        ),
      server: pid,
    },
  ];
  const gets: Subject[] = [
    {
      name: "Cortex Store",
      work: (n) => load.call(path("Get"), toBinary(get.input, create(get.input, entry(n)))),
      server: pid,
    },
  ];
  if (etcd) {
    const { pid } = etcd;
    sets.push({ name: "etcd", work: (n) => etcd.call("Put", [key(n), text]), server: pid });
    gets.push({ name: "etcd", work: (n) => etcd.call("Range", [key(n)]), server: pid });
  } else console.log("etcd is not installed: no comparison with it");
  if (redis) {
    const { pid, connections } = redis;
    // A connection takes one command at a time.
    const ask = async (...words: string[]) => {
      const connection = connections.pop();
      if (!connection) throw new Error("more calls than connections");
      await connection.ask(...words);
      connections.push(connection);
    };
    sets.push({
      name: "Redis, appendfsync always",
      work: (n) => ask("SET", key(n), text),
      server: pid,
    });
    gets.push({ name: "Redis, appendfsync always", work: (n) => ask("GET", key(n)), server: pid });
  } else console.log("redis-server is not installed: no comparison with it");
  await meter.compare("Set, beside peers", sets, { count: 8000, concurrency: inFlight });
  await meter.compare("Get, beside peers", gets, { count: 12_000, concurrency: inFlight });
  load.close();
  await etcd?.stop();
  await redis?.stop();
}

/** An etcd of one member; undefined if it is not installed. */
async function startEtcd() {
  if (spawnSync("etcd", ["--version"]).error) return undefined;
  const directory = await mkdtemp(join(tmpdir(), "bench-etcd-"));
  const [client, peer] = [await freePort(), await freePort()];
  const url = (port: number) => `http://127.0.0.1:${port}`;
  const child = spawn(
    "etcd",
    [
      ...["--data-dir", directory, "--log-level", "error"],
      ...["--listen-client-urls", url(client), "--advertise-client-urls", url(client)],
      ...["--listen-peer-urls", url(peer), "--initial-advertise-peer-urls", url(peer)],
      ...["--initial-cluster", `default=${url(peer)}`],
    ],
    { stdio: "ignore" },
  );
  await pause(2000);
  const load = new Load(`127.0.0.1:${client}`);
  return {
    pid: child.pid as number,
    /** Calls an RPC of its KV service. The fields are those of the request: the key, and the value. */
    call: (method: string, fields: string[]) =>
      load.call(
        `/etcdserverpb.KV/${method}`,
        Buffer.concat(fields.map((field, i) => bytesField(i + 1, field))),
      ),
    async stop() {
      load.close();
      child.kill("SIGTERM");
      await once(child, "exit");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A field of bytes in the wire format of protobuf; shorter than 16 KiB. */
function bytesField(number: number, value: string): Buffer {
  const bytes = Buffer.from(value);
  const length =
    bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

// Measures how much abusive clients, busy tenants and faults slow down others. 16 callers make unary calls
// (about 700/s), half of them reads: alone, and beside each of these (abuse.ts). The cases alternate, and the
// medians of their p99 are compared.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Cortex } from "../client/index.js";
import {
  GetRecordRequestSchema,
  MutableStore,
  SetRequestSchema,
} from "../gen/cortex/mutable/v1/mutable_pb.js";
import { proxyToPostgres } from "../test/support/proxy.js";
import type { Abuse } from "./abuse.js";
import { Load } from "./load.js";
import { median } from "./measure.js";

const callers = 16;
const thinkMs = 20; // the pause of a caller between two calls
const seconds = 4;
const rounds = 3;

const path = (method: string) => `/${MutableStore.typeName}/${method}`;

async function startServer(databaseUrl: string) {
  const server = spawn(
    process.execPath,
    [
      "--max-semi-space-size=16",
      join(import.meta.dirname, "../server/dist/server/main.js"),
      "--listen",
      "127.0.0.1:0",
      "--database-url",
      databaseUrl,
      "--stall-seconds",
      "600",
      "--keep-out-seconds",
      "5", // so that the flood of resets begins anew in each round
      "--log-level",
      "error",
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const [line] = await once(server.stdout, "data");
  return {
    address: String(line).trim().split(" ").at(-1) ?? "",
    async stop() {
      server.kill("SIGTERM");
      await once(server, "exit");
    },
  };
}

const abuses: [kind: Abuse, name: string][] = [
  ["connections", "2000 connections, 200 stalled readers and deadline storms"],
  ["resets", "a flood of resets"],
  ["calls", "a tenant with 10 000 calls in flight"],
  ["merges", "a tenant with 32 merges into values of 0.9 MB in flight"],
  ["locks", "a tenant with 400 writes that wait for another server's locks"],
];

export async function storm(databaseUrl: string): Promise<void> {
  const { proxy, url } = await proxyToPostgres(databaseUrl);
  const [server, another, behindProxy] = await Promise.all([
    startServer(databaseUrl),
    startServer(databaseUrl),
    startServer(url),
  ]);
  for (const [kind, name] of abuses) {
    const start = () => startAbuse(kind, server.address, another.address);
    await compare(server.address, name, start);
  }
  const silent = "connections to the database, 3 s after all of them went silent,";
  await compare(behindProxy.address, silent, async () => {
    proxy.freeze();
    await pause(3000);
    return async () => {};
  });
  for (const one of [server, another, behindProxy]) await one.stop();
  proxy.close();
}

/** Measures the callers alone and beside what `start` starts. */
async function compare(address: string, name: string, start: () => Promise<() => Promise<void>>) {
  await using cortex = new Cortex({ address, timeoutMs: 60_000 });
  const entries = Array.from({ length: 1000 }, (_, i) => [`k${i}`, "x".repeat(1000)]);
  await cortex.mutable.setMany("storm", Object.fromEntries(entries));
  const place = { namespace: "storm", key: "k7" };
  const get = toBinary(GetRecordRequestSchema, create(GetRecordRequestSchema, place));
  const set = toBinary(SetRequestSchema, create(SetRequestSchema, { ...place, valueJson: "1" }));
  const loads = Array.from({ length: callers }, () => new Load(address));
  const p99 = async (): Promise<number> => {
    const took: number[] = [];
    const end = performance.now() + seconds * 1000;
    await Promise.all(
      loads.map(async (load, i) => {
        for (let n = 0; performance.now() < end; n++) {
          const start = performance.now();
          const call = () =>
            n % 2 ? load.call(path("GetRecord"), get) : load.call(path("Set"), set);
          // As a client does: a call whose connection to the database was lost is repeated.
          while (
            !(await call().then(
              () => true,
              () => pause(5),
            ))
          ) {}
          took.push(performance.now() - start);
          await pause(thinkMs + i / callers);
        }
      }),
    );
    return took.toSorted((a, b) => a - b)[Math.floor(took.length * 0.99)] ?? Number.NaN;
  };
  await p99(); // warm-up
  const [calm, stormy]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    calm.push(await p99());
    const stop = await start();
    stormy.push(await p99());
    await stop();
  }
  console.log(
    `unary p99 of ${callers} callers: alone ${median(calm).toFixed(1)} ms, beside ${name} ${median(stormy).toFixed(1)} ms, ratio ${(median(stormy) / median(calm)).toFixed(2)}`,
  );
  for (const load of loads) load.close();
}

/**
 * Starts abusive clients in a process of their own, so that they do not slow down the measured callers. Returns
 * a function that stops them.
 */
async function startAbuse(...args: [Abuse, string, string]): Promise<() => Promise<void>> {
  const program = join(import.meta.dirname, "abuse.ts");
  const child = spawn(process.execPath, ["--import", "tsx", program, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return async () => {
    child.kill("SIGTERM");
    await once(child, "exit");
  };
}

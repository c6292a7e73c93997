// Measures how much abusive clients slow down others. 16 callers make unary calls (about 700/s): first alone,
// then beside 2000 connections, 200 readers that read nothing, and 1000 calls/s with a deadline of 1 ms; then
// beside a caller that opens and resets calls as fast as it can. The cases alternate, and the medians of their
// p99 are compared.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Cortex } from "../client/index.js";
import {
  GetRecordRequestSchema,
  MutableStore,
  UpdateRequestSchema,
} from "../gen/cortex/mutable/v1/mutable_pb.js";
import { Resetter } from "../test/support/resetter.js";
import { Load } from "./load.js";
import { median } from "./measure.js";

const connections = 2000;
const readers = 200;
const callers = 16;
const thinkMs = 20; // the pause of a caller between two calls
const seconds = 4;
const rounds = 5;
const stormEach = 5; // calls in one burst
const stormMs = 5; // the pause between two bursts, so about 1000 calls/s

const path = (method: string) => `/${MutableStore.typeName}/${method}`;

export async function storm(databaseUrl: string): Promise<void> {
  const server = spawn(
    process.execPath,
    [
      "--max-semi-space-size=64",
      join(import.meta.dirname, "../server/dist/server/main.js"),
      "--listen",
      "127.0.0.1:0",
      "--database-url",
      databaseUrl,
      "--stall-seconds",
      "600",
      "--keep-out-seconds",
      "5", // so that the flood of resets begins anew in each round
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const [line] = await once(server.stdout, "data");
  const address = String(line).trim().split(" ").at(-1) ?? "";
  await using cortex = new Cortex({ address, timeoutMs: 60_000 });
  const entries = Array.from({ length: 1000 }, (_, i) => [`k${i}`, "x".repeat(1000)]);
  await cortex.mutable.setMany("storm", Object.fromEntries(entries));

  const get = Buffer.from(
    toBinary(
      GetRecordRequestSchema,
      create(GetRecordRequestSchema, { namespace: "storm", key: "k7" }),
    ),
  );
  const loads = Array.from({ length: callers }, () => new Load(address));
  const p99 = async (): Promise<number> => {
    const took: number[] = [];
    const end = performance.now() + seconds * 1000;
    await Promise.all(
      loads.map(async (load, i) => {
        while (performance.now() < end) {
          const start = performance.now();
          await load.call(path("GetRecord"), get);
          took.push(performance.now() - start);
          await pause(thinkMs + i / callers);
        }
      }),
    );
    return took.toSorted((a, b) => a - b)[Math.floor(took.length * 0.99)] ?? Number.NaN;
  };
  await p99(); // warm-up
  for (const [kind, name] of [
    ["storm", `${connections} connections, ${readers} stalled readers and deadline storms`],
    ["resets", "a flood of resets"],
  ] as const) {
    const [calm, stormy]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      calm.push(await p99());
      const stop = await startAbuse(address, kind);
      stormy.push(await p99());
      await stop();
    }
    console.log(
      `unary p99 of ${callers} callers: alone ${median(calm).toFixed(1)} ms, beside ${name} ${median(stormy).toFixed(1)} ms, ratio ${(median(stormy) / median(calm)).toFixed(2)}`,
    );
  }
  for (const load of loads) load.close();
  server.kill("SIGTERM");
  await once(server, "exit");
}

/** Starts the abusive clients in another process. Returns a function that stops them. */
async function startAbuse(address: string, kind: "storm" | "resets"): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, ["--import", "tsx", import.meta.filename, kind, address], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return async () => {
    child.kill("SIGTERM");
    await once(child, "exit");
  };
}

/** The abusive clients. They run in their own process, so that they do not slow down the measured callers. */
async function abuse(address: string): Promise<void> {
  const idle: ClientHttp2Session[] = [];
  for (let i = 0; i < connections; i += 100) {
    const more = Array.from({ length: 100 }, () => connect(`http://${address}`));
    for (const session of more) session.on("error", () => {});
    await Promise.all(more.map((session) => once(session, "connect")));
    idle.push(...more);
  }
  const list = Buffer.from("0a0573746f726d18e807", "hex"); // namespace "storm", limit 1000
  for (let i = 0; i < readers; i++) {
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
  console.log("ready");
  const update = Buffer.from(
    toBinary(
      UpdateRequestSchema,
      create(UpdateRequestSchema, {
        namespace: "storm-m",
        key: "k",
        operation: { case: "increment", value: {} },
        createIfMissing: true,
      }),
    ),
  );
  const hasty = Array.from({ length: 8 }, () => new Load(address, { "grpc-timeout": "1m" }));
  for (;;) {
    for (let n = 0; n < stormEach; n++)
      hasty[n % hasty.length]?.call(path("Update"), update).catch(() => {});
    await pause(stormMs);
  }
}

/** Opens and resets calls, and connects again whenever it is cut. */
async function resetFlood(address: string): Promise<void> {
  console.log("ready");
  for (;;) {
    const caller = new Resetter(address);
    if (await caller.isKept()) while (!caller.isClosed) await caller.openAndReset(100);
  }
}

const [, script, kind, address = ""] = process.argv;
if (script === import.meta.filename)
  await (kind === "resets" ? resetFlood(address) : abuse(address));

// What telemetry costs: CPU time of the server for each call, as a ratio to a server without it in the same run.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { median } from "./measure.js";
import { cpuMs, type Server, serverOn } from "./process.js";

type Work = (n: number) => Promise<unknown>;

const rounds = 5;
const count = 10_000;
const inFlight = 64;

const data = { text: "x".repeat(199) }; // 210 bytes
const metricsPort = 19_464;

const calls: Record<string, (server: Server) => Work> = {
  Get:
    ({ cortex }) =>
    (n) =>
      cortex.mutable.get("ns", `k${n % 1000}`),
  Set:
    ({ cortex }) =>
    (n) =>
      cortex.mutable.set("ns", `k${n % 1000}`, data),
  "hot increment":
    ({ cortex }) =>
    () =>
      cortex.mutable.increment("ns", "hot", 1, { createIfMissing: true }),
  "Commit of 3 keys":
    ({ cortex }) =>
    (n) =>
      cortex.mutable.transaction(
        [0, 1, 2].map((i) => ({ op: "set", namespace: "ns", key: `c${i}-${n}`, value: data })),
      ),
};

export async function telemetry(url: string): Promise<void> {
  const sink = createServer((request, response) => {
    request.resume().on("end", () => response.end("{}"));
  });
  await new Promise<void>((resolve) => sink.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(sink.address() as AddressInfo).port}`;
  const traces = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint}/v1/traces` };
  const sampled = { OTEL_TRACES_SAMPLER: "parentbased_traceidratio" };
  const servers = {
    off: await serverOn(url, "telemetry"),
    metrics: await serverOn(url, "telemetry", ["--metrics", `127.0.0.1:${metricsPort}`]),
    "traces of 1 in 100 calls, metrics": await serverOn(
      url,
      "telemetry",
      ["--metrics", `127.0.0.1:${metricsPort + 1}`],
      { ...traces, ...sampled, OTEL_TRACES_SAMPLER_ARG: "0.01" },
    ),
    "traces of all calls, metrics": await serverOn(
      url,
      "telemetry",
      ["--metrics", `127.0.0.1:${metricsPort + 2}`],
      traces,
    ),
  };
  for (const [name, work] of Object.entries(calls)) {
    const costs = new Map<string, number[]>();
    for (let round = 0; round <= rounds; round++)
      for (const [kind, server] of Object.entries(servers)) {
        const ms = await costOf(server, work(server));
        if (round > 0) costs.set(kind, [...(costs.get(kind) ?? []), ms]); // 0 warms up
      }
    const off = median(costs.get("off") ?? []);
    for (const [kind, all] of costs)
      if (kind !== "off")
        console.log(
          `${name} with ${kind}: ${median(all).toFixed(3)} ms of the server's CPU, without telemetry ${off.toFixed(3)} ms, ratio ${(median(all) / off).toFixed(2)}`,
        );
  }
  for (const server of Object.values(servers)) await server.stop();
  sink.close();
}

/** The CPU milliseconds of the server for each call. */
async function costOf({ pid }: Server, work: Work): Promise<number> {
  const before = cpuMs(pid);
  let left = count;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (left-- > 0) await work(left);
    }),
  );
  return (cpuMs(pid) - before) / count;
}

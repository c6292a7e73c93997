// What telemetry costs: CPU time of server and Postgres for each call, as a ratio to a server without it in the same run.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inTurn, type Work } from "./coordination.js";
import { postmasterOf, type Server, serverOn } from "./process.js";

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
  const pids = [await postmasterOf(url), ...Object.values(servers).map(({ pid }) => pid)];
  for (const [name, work] of Object.entries(calls)) {
    const works = Object.fromEntries(
      Object.entries(servers).map(([kind, server]) => [kind, work(server)]),
    );
    const costs = await inTurn(works, { concurrency: 64, count: 3000 }, pids);
    const { off = Number.NaN, ...others } = costs;
    for (const [kind, ms] of Object.entries(others))
      console.log(
        `${name} with ${kind}: ${ms.toFixed(3)} ms of CPU, without telemetry ${off.toFixed(3)} ms, ratio ${(ms / off).toFixed(2)}`,
      );
  }
  for (const server of Object.values(servers)) await server.stop();
  sink.close();
}

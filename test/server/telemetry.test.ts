// Telemetry, as others see it: spans that a receiver of OTLP gets, and the page of metrics.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cortex, CortexStore } from "../../client/index.js";
import { openTelemetry } from "../../client/opentelemetry/index.js";
import { connect } from "../../server/postgres/connection.js";
import { definitions } from "../../server/telemetry/instruments.js";
import { type OtlpReceiver, type ReceivedSpan, receiveOtlp } from "../support/otlp.js";
import { freePort, root, runServer, type ServerProcess, spawnServer } from "../support/process.js";
import { cloneDatabase } from "../support/server.js";

let receiver: OtlpReceiver;
let database: Awaited<ReturnType<typeof cloneDatabase>>;
let server: ServerProcess;
let cortex: Cortex;
let metricsPort: number;
const spans = new InMemorySpanExporter();

beforeAll(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }),
  );
  process.env.OTEL_SEMCONV_STABILITY_OPT_IN = "rpc";
  receiver = await receiveOtlp();
  database = await cloneDatabase();
  metricsPort = await freePort();
  const args = ["--database-url", database.url, "--metrics", `127.0.0.1:${metricsPort}`];
  server = await spawnServer([...args, "--metrics-tenants"], {
    OTEL_TRACES_EXPORTER: "otlp",
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_SEMCONV_STABILITY_OPT_IN: "rpc,database",
    OTEL_BSP_SCHEDULE_DELAY: "50",
    OTEL_METRIC_EXPORT_INTERVAL: "200",
    OTEL_METRIC_EXPORT_TIMEOUT: "200",
  });
  cortex = new Cortex({
    address: server.address,
    tenantId: "acme",
    timeoutMs: 20_000,
    telemetry: openTelemetry(),
  });
}, 60_000);

afterAll(async () => {
  delete process.env.OTEL_SEMCONV_STABILITY_OPT_IN;
  await cortex.close();
  await server.end();
  await database.drop();
  await receiver.close();
});

/** The spans of a trace, once there are so many of the server. */
async function spansOfTrace(traceId: string, count: number): Promise<ReceivedSpan[]> {
  const found = () => receiver.spans.filter((span) => span.traceId === traceId);
  await expect.poll(() => found().length, { timeout: 15_000 }).toBe(count);
  return found();
}

/** Runs work in a span of the test. Gives the id of its trace. */
async function inTrace(work: () => Promise<unknown>): Promise<string> {
  return trace.getTracer("test").startActiveSpan("test", async (span) => {
    await work().finally(() => span.end());
    return span.spanContext().traceId;
  });
}

const own = (name: string): ReadableSpan[] =>
  spans.getFinishedSpans().filter((span) => span.name === name);

const metrics = async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();

describe("a trace", () => {
  it("goes from the caller's span through the call to the statement", async () => {
    const traceId = await inTrace(() => cortex.mutable.set("ns", "secret-key", "secret-value"));
    const [call, statement] = (await spansOfTrace(traceId, 2)).sort((a, b) => a.kind - b.kind);
    const [client] = own("cortex.mutable.v1.MutableStore/Set");
    expect(client?.spanContext().traceId).toBe(traceId);
    expect(client?.attributes).toEqual({
      "rpc.system.name": "grpc",
      "rpc.method": "cortex.mutable.v1.MutableStore/Set",
      "rpc.response.status_code": "OK",
    });
    expect(call).toMatchObject({
      name: "cortex.mutable.v1.MutableStore/Set",
      kind: 2,
      parentSpanId: client?.spanContext().spanId,
      service: "cortex-store",
      attributes: {
        "rpc.system.name": "grpc",
        "rpc.method": "cortex.mutable.v1.MutableStore/Set",
        "rpc.response.status_code": "OK",
      },
    });
    expect(call?.attributes).not.toHaveProperty("rpc.system");
    expect(statement).toMatchObject({
      name: "postgresql",
      kind: 3,
      parentSpanId: call?.spanId,
      links: [{ traceId, spanId: call?.spanId }],
      attributes: {
        "db.system.name": "postgresql",
        "db.operation.batch.size": 1,
        "db.client.connection.pool.name": "writeBatches",
      },
    });
  });

  it("of calls that share a statement has links from it to each of them", async () => {
    const traceIds = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        inTrace(() => cortex.mutable.set("shared", `k-${i}`, i)),
      ),
    );
    const statements = () =>
      receiver.spans.filter(
        ({ name, links }) =>
          name === "postgresql" && links.some((link) => traceIds.includes(link.traceId)),
      );
    const linked = () => statements().flatMap(({ links }) => links.map((link) => link.traceId));
    await expect.poll(() => new Set(linked()).size, { timeout: 15_000 }).toBe(20);
    expect(linked()).toHaveLength(20);
    expect(statements().length).toBeLessThan(20);
  });

  it("has the reason of a call that failed", async () => {
    const traceId = await inTrace(() => cortex.mutable.increment("ns", "missing").catch(() => {}));
    const call = () => receiver.spans.find((span) => span.traceId === traceId && span.kind === 2);
    await expect.poll(call, { timeout: 15_000 }).toBeDefined();
    expect(call()).toMatchObject({
      status: 0, // the caller's fault, not the server's
      attributes: { "rpc.response.status_code": "NOT_FOUND", "error.type": "KEY_NOT_FOUND" },
    });
    const [client] = own("cortex.mutable.v1.MutableStore/Update");
    expect(client?.attributes).toMatchObject({ "error.type": "KEY_NOT_FOUND" });
  });

  it("has each statement of a transaction, and of a stream", async () => {
    const inTransaction = await inTrace(() =>
      cortex.mutable.transaction(async (tx) => {
        tx.get("ns", "secret-key");
        tx.set("ns", "in-transaction", 1);
      }),
    );
    await expect
      .poll(() => receiver.spans.filter(({ traceId }) => traceId === inTransaction).length)
      .toBeGreaterThan(2);
    const inScan = await inTrace(async () => {
      for await (const _ of cortex.mutable.scan("shared")) break;
    });
    const scan = await spansOfTrace(inScan, 2);
    expect(scan.map(({ name }) => name).sort()).toEqual([
      "cortex.mutable.v1.MutableStore/List",
      "postgresql",
    ]);
  });

  it("has no statements of the feed in that of the first watch", async () => {
    const traceId = await inTrace(async () => {
      const end = await cortex.events.subscribe("telemetry", () => {});
      await cortex.events.publish("telemetry", 1);
      end();
    });
    await expect
      .poll(() => receiver.spans.filter((span) => span.traceId === traceId).map(({ name }) => name))
      .toEqual(expect.arrayContaining(["cortex.events.v1.Events/Subscribe"]));
    await cortex.events.publish("telemetry", 2);
    const pools = receiver.spans
      .filter((span) => span.traceId === traceId)
      .map(({ attributes }) => attributes["db.client.connection.pool.name"]);
    expect(pools).not.toContain("feed");
  });

  it("has the operations of a typed store, with the specification's names", async () => {
    const store = CortexStore.create()
      .withClient(cortex)
      .withService("traced")
      .withTelemetry(openTelemetry())
      .build();
    const traceId = await inTrace(async () => {
      await store.kv.set("secret-key", "secret-value");
      await store.kv.get("secret-\0").catch(() => {});
    });
    const [set] = own("igniter.store.kv.set");
    expect(set?.spanContext().traceId).toBe(traceId);
    expect(set?.attributes).toEqual({
      "ctx.store.service": "traced",
      "ctx.store.namespace": "kv",
      "igniter.store.event": "igniter.store.kv.set.success",
    });
    const rpc = own("cortex.mutable.v1.MutableStore/Set").find(
      (span) => span.parentSpanContext?.spanId === set?.spanContext().spanId,
    );
    expect(rpc).toBeDefined();
    expect(own("igniter.store.kv.get")[0]?.attributes).toMatchObject({
      "igniter.store.event": "igniter.store.kv.get.error",
      "ctx.error.code": "INVALID_KEY",
    });
  });

  it("is not made for a caller who does not sample", async () => {
    const before = receiver.spans.length;
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const parent = { traceId, spanId: "b7ad6b7169203331", traceFlags: 0 };
    const tracing = new Cortex({
      address: server.address,
      tenantId: "acme",
      telemetry: openTelemetry(),
    });
    await context.with(trace.setSpanContext(context.active(), parent), () =>
      tracing.mutable.get("ns", "unsampled"),
    );
    const after = await inTrace(() => cortex.mutable.get("ns", "k"));
    await spansOfTrace(after, 2);
    expect(receiver.spans.slice(before).filter((span) => span.traceId === traceId)).toEqual([]);
    await tracing.close();
  });
});

describe("metrics", () => {
  it("are those of the documentation, each with its unit and meaning", async () => {
    const docs = await readFile(join(root, "docs", "telemetry.md"), "utf8");
    for (const { name, unit } of Object.values(definitions)) {
      expect(docs).toContain(`| \`${name}\` |`);
      expect(docs).toMatch(
        new RegExp(
          `\\| \`${name.replaceAll(".", "\\.")}\` \\| [^|]* \\| ${unit.replace(/[{}]/g, "\\$&")} \\|`,
        ),
      );
    }
  });

  it("are on the page of Prometheus: calls, errors, pools, batches, tenants", async () => {
    await cortex.mutable.set("ns", "counted", 1);
    await cortex.streams.append("stream", 1);
    await cortex.streams.group("g", "c").ensure("stream");
    await cortex.streams.group("g", "c").read("stream");
    await expect
      .poll(metrics, { timeout: 20_000, interval: 500 })
      .toMatch(/cortex_streams_pending\{[^}]*\} 1\n/);
    const page = await metrics();
    const value = (line: RegExp) => Number(page.match(line)?.[1]);
    const call = 'rpc_method="cortex.mutable.v1.MutableStore/Set",rpc_response_status_code="OK"';
    expect(
      value(new RegExp(`rpc_server_call_duration_count\\{[^}]*${call}[^}]*\\} (\\d+)`)),
    ).toBeGreaterThan(20);
    expect(page).toMatch(/rpc_server_call_duration_bucket\{[^}]*error_type="KEY_NOT_FOUND"/);
    expect(page).not.toContain("rpc_server_duration");
    expect(page).toMatch(/db_client_operation_duration_count\{[^}]*"writeBatches"/);
    expect(page).toMatch(/cortex_pool_connections\{[^}]*"short"[^}]*"idle"[^}]*\} \d/);
    expect(page).toMatch(/db_client_connection_max\{[^}]*"short"[^}]*\} 10\n/);
    expect(page).toMatch(/cortex_batch_size_count\{[^}]*"writes"/);
    expect(page).toMatch(/cortex_task_duration_count\{[^}]*"fold what was counted"/);
    expect(page).toMatch(/cortex_tenant_keys\{[^}]*cortex_tenant="acme"[^}]*\} \d\d/);
    expect(value(/cortex_stored_keys\{[^}]*\} (\d+)/)).toBeGreaterThan(20);
    expect(value(/cortex_calls_active\{[^}]*\} (\d+)/)).toBeGreaterThanOrEqual(0);
    expect(value(/process_memory_usage\{[^}]*\} (\d+)/)).toBeGreaterThan(10_000_000);
    expect((await fetch(`http://127.0.0.1:${metricsPort}/other`)).status).toBe(404);
  });

  it("name at most 100 tenants, also when others come and store more", async () => {
    const named = async () =>
      new Set(
        [...(await metrics()).matchAll(/cortex_tenant_bytes\{.*cortex_tenant="([^"]*)"/g)].map(
          ([, one]) => one,
        ),
      );
    for (let i = 0; i < 105; i++) {
      const one = new Cortex({ address: server.address, tenantId: `t-${i}`, timeoutMs: 20_000 });
      await one.mutable.set("ns", "k", i);
      await one.close();
    }
    const count = async () => (await named()).size;
    await expect.poll(count, { timeout: 25_000, interval: 500 }).toBe(100);
    const before = await named();
    const large = new Cortex({ address: server.address, tenantId: "large", timeoutMs: 20_000 });
    await large.mutable.set("ns", "k", "x".repeat(100_000));
    await large.close();
    await new Promise((resolve) => setTimeout(resolve, 11_000)); // the sums are read every 10 seconds
    expect(await named()).toEqual(before);
  }, 60_000);

  it("go by OTLP too", async () => {
    await expect.poll(() => [...receiver.paths].sort()).toEqual(["/v1/metrics", "/v1/traces"]);
  });
});

it("tells no key, value, user or tenant's data", async () => {
  await cortex.users.upsert("secret-user", {});
  await cortex.mutable.set("ns", "secret-key", "secret-value", { userId: "secret-user" });
  await cortex.mutable.get("ns", "secret-key");
  const traceId = await inTrace(() => cortex.mutable.get("ns", "secret-key"));
  await spansOfTrace(traceId, 2);
  const told = receiver.bodies.join("\n") + (await metrics());
  expect(told).not.toContain("secret");
  expect(told).not.toContain("select ");
  expect(told).not.toContain(new URL(database.url).pathname.slice(1));
});

it("without the opt-in the former names are used, and the page does not wait for the database", async () => {
  const port = await freePort();
  const plain = await spawnServer(
    ["--database-url", database.url, "--metrics", `127.0.0.1:${port}`],
    { OTEL_SEMCONV_STABILITY_OPT_IN: "" },
  );
  const client = new Cortex({ address: plain.address, timeoutMs: 20_000 });
  await client.mutable.increment("ns", "missing").catch(() => {});
  const sql = connect(database.url, { max: 1 });
  await sql.begin(async (lock) => {
    await lock`lock table usage_delta in access exclusive mode`; // the sums cannot be read
    const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(page).toMatch(/rpc_server_duration_count\{[^}]*error_type="KEY_NOT_FOUND"/);
    expect(page).not.toContain("rpc_server_call_duration");
    expect(page).toContain('service_name="cortex-store"');
    expect(page).toMatch(/service_instance_id="[0-9a-f-]{36}"/);
    expect(page).not.toContain("process_command");
    expect(plain.err()).not.toContain("telemetry:");
  });
  await sql.end();
  await client.close();
  await plain.end();
});

it("metrics that cannot be served end the start, and say why", async () => {
  const args = ["--database-url", database.url, "--listen", "127.0.0.1:0"];
  const { code, err } = await runServer([...args, "--metrics", `127.0.0.1:${metricsPort}`]);
  expect(code).toBe(1);
  expect(err).toContain(`metrics cannot be served on 127.0.0.1:${metricsPort}`);
  const twice = await runServer(args, { OTEL_METRICS_EXPORTER: "otlp,prometheus" });
  expect([twice.code, twice.err]).toEqual([1, expect.stringContaining("use --metrics")]);
  const bad = await runServer(["--metrics", "9464"]);
  expect([bad.code, bad.err]).toEqual([2, expect.stringContaining("takes HOST:PORT")]);
});

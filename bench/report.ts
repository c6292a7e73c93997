// Writes what was measured to docs/benchmarks: the figures as JSON, a table, and a chart of the CPU time of calls.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import type { Comparison, Figures, Spread } from "./meter.js";

const directory = join(import.meta.dirname, "../docs/benchmarks");

export async function report(comparisons: Comparison[], postgres: string): Promise<void> {
  const [cpu] = cpus();
  const { version } = JSON.parse(
    await readFile(join(import.meta.dirname, "../server/package.json"), "utf8"),
  ) as { version: string };
  const machine = {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    versions: `cortex-store ${version}, Node ${process.version.slice(1)}, Postgres ${postgres}`,
  };
  await mkdir(directory, { recursive: true });
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(5)) : value;
  const json = JSON.stringify({ ...machine, comparisons }, rounded, 1);
  await writeFile(join(directory, "results.json"), `${json}\n`);
  await writeFile(join(directory, "README.md"), pageOf(comparisons, machine));
  await writeFile(join(directory, "cpu.svg"), chartOf(comparisons));
}

function pageOf(comparisons: Comparison[], machine: Record<string, string>): string {
  return `# Benchmarks

Printed by \`npm run bench -- --save\` on ${machine.date}: ${machine.machine}; ${machine.versions}. Load, server and Postgres share the machine.
Rates of a noisy machine vary, CPU time varies far less. Each figure is the median of the rounds, in which the subjects take turns, with the
lowest and the highest. CPU is in microseconds for each call (of a scan: for each row). [Performance](../performance.md) says what they mean,
and [results.json](results.json) has them all.

![CPU time of calls](cpu.svg)
${comparisons.map(tableOf).join("")}`;
}

function tableOf({ what, concurrency, subjects }: Comparison): string {
  const cell = ({ median, low, high }: Spread, digits: number) =>
    `${median.toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
  const rows = subjects.map(
    ({ name, rate, p50, p99, serverCpu, postgresCpu, loadCpu }) =>
      `| ${name} | ${cell(rate, 0)} | ${cell(p50, 2)} | ${cell(p99, 2)} | ${cell(serverCpu, 1)} | ${cell(postgresCpu, 1)} | ${cell(loadCpu, 1)} |\n`,
  );
  return `
## ${what[0]?.toUpperCase()}${what.slice(1)} (${concurrency} in flight)

| | rate/s | p50 ms | p99 ms | server µs | Postgres µs | load µs |
|---|---|---|---|---|---|---|
${rows.join("")}`;
}

const barHeight = 18;
const labelWidth = 260;
const barsWidth = 480;
const colours = { serverCpu: "#3b6fb6", postgresCpu: "#e0912f" } as const;

/** Bars of the CPU time of server and Postgres, for each call that is compared with an echo. */
function chartOf(comparisons: Comparison[]): string {
  const calls = comparisons.filter(({ subjects }) =>
    subjects.some(({ name }) => /^echo/.test(name)),
  );
  const cpuOf = ({ serverCpu, postgresCpu }: Figures) => serverCpu.median + postgresCpu.median;
  const most = Math.max(...calls.flatMap(({ subjects }) => subjects.map(cpuOf)), 1);
  const width = (micros: number) => ((micros / most) * barsWidth).toFixed(1);
  const parts: string[] = [];
  let y = 30;
  for (const { what, subjects } of calls) {
    parts.push(`<text x="8" y="${y + 12}" font-weight="bold">${what}</text>`);
    y += barHeight;
    for (const one of subjects) {
      const { name, serverCpu, postgresCpu } = one;
      const at = labelWidth + Number(width(serverCpu.median));
      parts.push(
        `<text x="20" y="${y + 12}">${name}</text>`,
        `<rect x="${labelWidth}" y="${y}" width="${width(serverCpu.median)}" height="14" fill="${colours.serverCpu}"/>`,
        `<rect x="${at}" y="${y}" width="${width(postgresCpu.median)}" height="14" fill="${colours.postgresCpu}"/>`,
        `<text x="${at + Number(width(postgresCpu.median)) + 6}" y="${y + 12}">${cpuOf(one).toFixed(0)}</text>`,
      );
      y += barHeight;
    }
    y += 10;
  }
  const total = labelWidth + barsWidth + 60;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${total}" height="${y}" font-family="sans-serif" font-size="12">
<title>CPU microseconds for each call, of server and Postgres</title>
<rect width="${total}" height="${y}" fill="white"/>
<text x="8" y="16">CPU microseconds for each call: <tspan fill="${colours.serverCpu}">server</tspan> and <tspan fill="${colours.postgresCpu}">Postgres</tspan></text>
${parts.join("\n")}
</svg>
`;
}

// Measures work by rate, latency and CPU time. Machines are noisy, so the subjects of a comparison take turns, round by
// round, and each figure is the median of the rounds, with the lowest and the highest. CPU time varies far less than
// rates do.
import { cpuTimes, usedBetween } from "./process.js";

export type Work = (n: number) => PromiseLike<unknown>;

/** What is measured. */
export interface Subject {
  name: string;
  work: Work;
  /** The process that is its server; none if the work goes straight to Postgres. */
  server?: number | undefined;
  /** The first process of its database, other than that of the meter. */
  database?: number | undefined;
}

export interface Options {
  /** How often the work is done in a round. */
  count: number;
  /** How many are in flight. */
  concurrency: number;
  /** How many rows, say, one work gives: all figures but latencies are for one of these. */
  units?: number;
}

/** The median of the rounds, and the range. */
export interface Spread {
  median: number;
  low: number;
  high: number;
}

/** What one subject took. Times are in microseconds for each call (or unit), latencies in milliseconds. */
export interface Figures {
  name: string;
  rate: Spread;
  p50: Spread;
  p99: Spread;
  serverCpu: Spread;
  postgresCpu: Spread;
  loadCpu: Spread;
}

export interface Comparison {
  what: string;
  concurrency: number;
  subjects: Figures[];
}

type Round = Record<Exclude<keyof Figures, "name">, number>;

export class Meter {
  readonly comparisons: Comparison[] = [];

  constructor(
    /** The first process of Postgres. */
    readonly postmaster: number,
    readonly quick: boolean,
  ) {}

  async compare(what: string, subjects: Subject[], options: Options): Promise<Comparison> {
    const { concurrency } = options;
    const rounds = this.quick ? 3 : 7;
    const count = Math.ceil(options.count / (this.quick ? 4 : 1));
    const all = new Map<Subject, Round[]>(subjects.map((subject) => [subject, []]));
    for (const subject of subjects) await this.#round(subject, { ...options, count: count / 2 }); // warms up
    for (let round = 0; round < rounds; round++)
      for (const [subject, measured] of all)
        measured.push(await this.#round(subject, { ...options, count }));
    const figures = [...all].map(([{ name }, measured]) => figuresOf(name, measured));
    const comparison = { what, concurrency, subjects: figures };
    this.comparisons.push(comparison);
    print(comparison);
    return comparison;
  }

  async #round(
    { work, server, database = this.postmaster }: Subject,
    { count, concurrency, units = 1 }: Options,
  ): Promise<Round> {
    const took: number[] = [];
    const used = () => [server ? cpuTimes(server) : new Map(), cpuTimes(database)] as const;
    let n = 0;
    const [serverBefore, postgresBefore] = used();
    const [start, load] = [performance.now(), process.cpuUsage()];
    await Promise.all(
      Array.from({ length: concurrency }, async () => {
        while (n < count) {
          const begun = performance.now();
          await work(n++);
          took.push(performance.now() - begun);
        }
      }),
    );
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(load);
    const [serverAfter, postgresAfter] = used();
    took.sort((a, b) => a - b);
    const done = took.length * units;
    const at = (share: number) => took[Math.floor(share * (took.length - 1))] ?? Number.NaN;
    return {
      rate: done / seconds,
      p50: at(0.5),
      p99: at(0.99),
      serverCpu: usedBetween(serverBefore, serverAfter) / done,
      postgresCpu: usedBetween(postgresBefore, postgresAfter) / done,
      loadCpu: (user + system) / done,
    };
  }
}

function figuresOf(name: string, rounds: Round[]): Figures {
  const spread = (of: keyof Round): Spread => {
    const sorted = rounds.map((round) => round[of]).sort((a, b) => a - b);
    const at = (i: number) => sorted[i] ?? Number.NaN;
    return { median: at(sorted.length >> 1), low: at(0), high: at(sorted.length - 1) };
  };
  return {
    name,
    rate: spread("rate"),
    p50: spread("p50"),
    p99: spread("p99"),
    serverCpu: spread("serverCpu"),
    postgresCpu: spread("postgresCpu"),
    loadCpu: spread("loadCpu"),
  };
}

const columns = ["rate/s", "p50 ms", "p99 ms", "server µs", "Postgres µs", "load µs"];

function print({ what, concurrency, subjects }: Comparison): void {
  console.log(`\n${what} (${concurrency} in flight)`);
  const width = Math.max(...subjects.map(({ name }) => name.length)) + 2;
  console.log(" ".repeat(width) + columns.map((column) => column.padStart(22)).join(""));
  for (const { name, rate, p50, p99, serverCpu, postgresCpu, loadCpu } of subjects) {
    const cells = [
      cell(rate, 0),
      cell(p50, 2),
      cell(p99, 2),
      cell(serverCpu, 1),
      cell(postgresCpu, 1),
      cell(loadCpu, 1),
    ];
    console.log(name.padEnd(width) + cells.map((text) => text.padStart(22)).join(""));
  }
}

const cell = ({ median, low, high }: Spread, digits: number): string =>
  `${median.toFixed(digits)} (${low.toFixed(digits)}..${high.toFixed(digits)})`;

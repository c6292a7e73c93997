// What the workers of the tests of patterns do, so that a test can tell what must come out.

export type Pattern =
  | "counter"
  | "list"
  | "statistics"
  | "batch"
  | "index"
  | "machine"
  | "lock"
  | "cache"
  | `naive-${"counter" | "list" | "statistics" | "batch" | "index"}`;

const steps = Number(process.env.PATTERN_STEPS ?? 12);

/** How many steps a worker makes. */
export const stepsOf = (pattern: Pattern): number => (pattern.endsWith("batch") ? 1 : steps);

/** A decimal that a worker adds to statistics. The lowest of all is 0. */
export const addedBy = (worker: number, step: number): string =>
  `${worker * 7 + step}.1`.replace(/^0\.1$/, "0");

export const batchItems: readonly number[] = Array.from({ length: steps * 5 }, (_, i) => i);

export const index = { documents: "index-documents", index: "index" };

/** The keywords of a document: one that all share, one of its worker, one of its step. */
export const wordsOf = (worker: number, step: number): Record<string, number> => ({
  all: 1,
  [`worker${worker}`]: 2,
  [`step${step}`]: 3,
});

export const jobs = {
  name: "jobs",
  initial: "waiting",
  transitions: { waiting: ["running"], running: ["waiting"] },
} as const;

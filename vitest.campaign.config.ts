// The long runs, with the figures the short forms in `npm test` stand for: npm run test:campaign.
import { mergeConfig } from "vitest/config";
import base from "./vitest.config.js";

export default mergeConfig(base, {
  test: {
    testTimeout: 2_400_000,
    env: {
      MODEL_RUNS: "2000",
      CORPUS_TEXTS: "500",
      CORPUS_STEP: "1",
      SCALE_KEYS: "1000000",
      SCALE_VERSIONS: "10000",
      CONTENTION_ROUNDS: "1000",
      LINEARIZABILITY_SEEDS: "20",
      WATCH_SECONDS: "120",
      WATCH_KILL_SECONDS: "10",
      EVENT_ROUNDS: "250",
      STREAM_ENTRIES: "100000",
      STREAM_KILL_SECONDS: "10",
      CLAIM_ROUNDS: "40",
      FENCE_ROUNDS: "100",
      SERVER_KILLS: "20",
      POSTGRES_KILLS: "10",
      LIVENESS_SECONDS: "1800",
      PATTERN_STEPS: "100",
      PATTERN_KILLS: "100",
      TENANT_RUNS: "500",
      FUZZ_FRAMES: "100000",
      STORM_CONNECTIONS: "2000",
      STORM_READERS: "200",
      STORM_ROUNDS: "20",
      RUNTIMES: "node@22, node@24, bun",
    },
    maxWorkers: 1, // each is measured by itself
  },
});

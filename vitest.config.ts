import { configDefaults, defineConfig } from "vitest/config";

// They replace modules, or what the whole process has.
const isolated = ["test/security/barrier.test.ts", "test/server/telemetry.test.ts"];

// They install packages of their own: npm run test:igniter, npm run test:languages.
const others = ["test/igniter/**", "test/languages/**"];

export default defineConfig({
  test: {
    globalSetup: "test/support/postgres.ts",
    setupFiles: "test/support/matchers.ts",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    unstubEnvs: true,
    pool: "forks",
    maxWorkers: 4,
    projects: [
      {
        extends: true,
        test: {
          name: "shared",
          isolate: false, // a worker loads the server once for all its files: a third of the CPU time
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...others, ...isolated],
        },
      },
      { extends: true, test: { name: "isolated", include: isolated } },
    ],
  },
});

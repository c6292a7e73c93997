import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, "test/igniter/**"], // npm run test:igniter
    globalSetup: "test/support/postgres.ts",
    setupFiles: "test/support/matchers.ts",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 4,
  },
});

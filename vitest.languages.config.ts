// Programs in other languages, with their own tools: npm run test:languages.
import { mergeConfig } from "vitest/config";
import base from "./vitest.config.js";

const { projects: _, ...test } = base.test ?? {};

export default mergeConfig(
  { test },
  { test: { include: ["test/languages/*.test.ts"], testTimeout: 600_000 } },
);

// The published package @igniter-js/store over our adapter: npm run test:igniter.
import { mergeConfig } from "vitest/config";
import base from "./vitest.config.js";

const { projects: _, ...test } = base.test ?? {};

export default mergeConfig({ test }, { test: { include: ["test/igniter/*.test.ts"] } });

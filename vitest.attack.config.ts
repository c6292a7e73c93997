// Attacks at length: npm run test:attack.
import { mergeConfig } from "vitest/config";
import base from "./vitest.config.js";

export default mergeConfig(base, {
  test: {
    testTimeout: 600_000,
    env: { ATTACK_SCALE: "1" },
  },
});

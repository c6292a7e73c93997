// The matcher expect(promise).toFailWith("KEY_NOT_FOUND", { key: "a" }) checks the code and some details of a
// CortexError.
import { expect } from "vitest";
import { CortexError, type ErrorCode } from "../../client/index.js";

declare module "vitest" {
  interface Matchers {
    toFailWith(code: ErrorCode, details?: Record<string, unknown>): Promise<void>;
  }
}

expect.extend({
  async toFailWith(received: Promise<unknown>, code: ErrorCode, details?: Record<string, unknown>) {
    const outcome = await received.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    const error = "error" in outcome ? outcome.error : undefined;
    const pass =
      error instanceof CortexError &&
      error.code === code &&
      (!details || this.equals(error.details, expect.objectContaining(details)));
    return {
      pass,
      message: () =>
        `expected CortexError ${code} ${details ? JSON.stringify(details, (_, v) => (v instanceof RegExp ? String(v) : v)) : ""}, got ${
          error instanceof CortexError
            ? `${error.code} ${JSON.stringify(error.details)}: ${error.message}`
            : "error" in outcome
              ? String(error)
              : `the value ${JSON.stringify(outcome.value)}`
        }`,
    };
  },
});

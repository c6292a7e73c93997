// The version of this package.
import { createRequire } from "node:module";

export const { version } = createRequire(import.meta.url)("cortex-store-server/package.json") as {
  version: string;
};

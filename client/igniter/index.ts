/** The adapter with which programs written for `@igniter-js/store` run on Cortex Store. */
export type {
  AdapterRange,
  StoreAdapter,
  StreamEntries,
  StreamFields,
} from "../store/adapter.js";
export {
  type CortexStoreAdapter,
  type CortexStoreAdapterOptions,
  cortexStoreAdapter,
} from "./adapter.js";
export type { IgniterStoreAdapter } from "./package-adapter.js";

/** The patterns that agents live by, as functions that take a client or a scope of one. */

export {
  addToStatistics,
  appendBounded,
  count,
  type Statistics,
} from "./accumulate.js";
export { type BatchOptions, type BatchProgress, batchResults, processBatch } from "./batch.js";
export {
  type Binary,
  type BinaryOptions,
  type BinaryReference,
  getBinary,
  getReference,
  putBinary,
  putReference,
} from "./binary.js";
export {
  type Cached,
  type CacheOptions,
  type CacheTimes,
  cacheAside,
  invalidate,
  writeThrough,
} from "./cache.js";
export { refuseCredentials } from "./credentials.js";
export { DataStore, type DataStoreOptions } from "./data-store.js";
export {
  type FoundDocument,
  indexDocument,
  type KeywordIndex,
  type Keywords,
  keywordsOf,
  removeDocument,
  searchIndex,
} from "./keyword-index.js";
export { type LockOptions, withLock } from "./lock.js";
export {
  childNames,
  discoverNamespaces,
  joinName,
  type NamespaceOverview,
  prefixName,
  splitName,
} from "./names.js";
export {
  type MachineState,
  type StateMachine,
  stateOf,
  type TransitionOptions,
  transition,
  transitionsOf,
} from "./state-machine.js";

import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { defineService } from "../grpc/handlers.js";
import { count } from "./count.js";
import { get } from "./get.js";
import { getAtTimestamp } from "./get-at-timestamp.js";
import { getHistory } from "./get-history.js";
import { getRetention } from "./get-retention.js";
import { getVersion } from "./get-version.js";
import { list } from "./list.js";
import { purge } from "./purge.js";
import { purgeMany } from "./purge-many.js";
import { purgeVersions } from "./purge-versions.js";
import { search } from "./search.js";
import { store } from "./store.js";
import { verifyHistory } from "./verify-history.js";
import { watch } from "./watch.js";

export const immutableStore = defineService({
  descriptor: ImmutableStore,
  handlers: {
    store,
    get,
    getVersion,
    getAtTimestamp,
    getHistory,
    list,
    search,
    count,
    purge,
    purgeMany,
    purgeVersions,
    verifyHistory,
    getRetention,
    watch,
  },
  waiting: ["watch"],
  permissions: {
    get: "read",
    getVersion: "read",
    getAtTimestamp: "read",
    getHistory: "read",
    list: ["read", "named"],
    search: ["read", "named"],
    count: ["read", "named"],
    verifyHistory: "read",
    getRetention: "read",
    watch: "read",
    store: "write",
    purge: "purge",
    purgeMany: ["purge", "named"],
    purgeVersions: "purge",
  },
});

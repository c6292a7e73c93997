import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { defineService } from "../grpc/handlers.js";
import { batchGet } from "./batch-get.js";
import { batchSet } from "./batch-set.js";
import { commit } from "./commit.js";
import { count } from "./count.js";
import { deleteKey } from "./delete.js";
import { exists } from "./exists.js";
import { get } from "./get.js";
import { getRecord } from "./get-record.js";
import { list } from "./list.js";
import { listNamespaces } from "./list-namespaces.js";
import { purgeAll } from "./purge-all.js";
import { purgeMany } from "./purge-many.js";
import { purgeNamespace } from "./purge-namespace.js";
import { set } from "./set.js";
import { transact } from "./transact.js";
import { update } from "./update.js";
import { watch } from "./watch.js";

export const mutableStore = defineService({
  descriptor: MutableStore,
  handlers: {
    set,
    get,
    getRecord,
    exists,
    delete: deleteKey,
    update,
    batchGet,
    batchSet,
    commit,
    transact,
    list,
    count,
    listNamespaces,
    purgeNamespace,
    purgeMany,
    purgeAll,
    watch,
  },
  waiting: ["watch"],
  permissions: {
    get: "read",
    getRecord: "read",
    exists: "read",
    batchGet: "read",
    list: "read",
    count: "read",
    listNamespaces: ["read", "named"],
    watch: "read",
    set: "write",
    delete: "write",
    update: "write",
    batchSet: "write",
    commit: "write",
    transact: "write",
    purgeNamespace: "purge",
    purgeMany: "purge",
    purgeAll: ["purge", "all"],
  },
});

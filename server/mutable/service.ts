import type { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Handlers } from "../grpc/handlers.js";
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

export const mutableStore = {
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
} satisfies Handlers<typeof MutableStore>;

import { Users } from "../../gen/cortex/users/v1/users_pb.js";
import { defineService } from "../grpc/handlers.js";
import { create } from "./create.js";
import { deleteUser } from "./delete.js";
import { exportUser } from "./export.js";
import { get } from "./get.js";
import { list } from "./list.js";
import { update } from "./update.js";
import { upsert } from "./upsert.js";

export const users = defineService({
  descriptor: Users,
  handlers: {
    create,
    upsert,
    update,
    get,
    list,
    delete: deleteUser,
    export: exportUser,
  },
  permissions: {
    get: "read",
    list: "read",
    create: "write",
    upsert: "write",
    update: "write",
    delete: ["admin", "all"],
    export: ["admin", "all"],
  },
});

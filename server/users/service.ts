import type { Users } from "../../gen/cortex/users/v1/users_pb.js";
import type { Handlers } from "../grpc/handlers.js";
import { create } from "./create.js";
import { deleteUser } from "./delete.js";
import { exportUser } from "./export.js";
import { get } from "./get.js";
import { list } from "./list.js";
import { update } from "./update.js";
import { upsert } from "./upsert.js";

export const users = {
  create,
  upsert,
  update,
  get,
  list,
  delete: deleteUser,
  export: exportUser,
} satisfies Handlers<typeof Users>;

import type { Users } from "../../gen/cortex/users/v1/users_pb.js";
import type { Handlers } from "../rpc.js";
import { create } from "./create.js";
import { get } from "./get.js";
import { list } from "./list.js";
import { upsert } from "./upsert.js";

export const users = { create, upsert, get, list } satisfies Handlers<typeof Users>;

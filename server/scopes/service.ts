import { Scopes } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import { defineService } from "../grpc/handlers.js";
import { exportScope } from "./export.js";
import { list } from "./list.js";
import { purge } from "./purge.js";

export const scopes = defineService({
  descriptor: Scopes,
  handlers: { list, export: exportScope, purge },
  permissions: {
    list: ["read", "all"],
    export: ["admin", "all"],
    purge: ["purge", "all"],
  },
});

import { Claims } from "../../gen/cortex/claims/v1/claims_pb.js";
import { defineService } from "../grpc/handlers.js";
import { acquire } from "./acquire.js";
import { get } from "./get.js";
import { list } from "./list.js";
import { release } from "./release.js";
import { renew } from "./renew.js";

export const claims = defineService({
  descriptor: Claims,
  handlers: { acquire, renew, release, get, list },
  waiting: ["acquire"],
  permissions: {
    acquire: "write",
    renew: "write",
    release: "write",
    get: "read",
    list: ["read", "named"],
  },
});

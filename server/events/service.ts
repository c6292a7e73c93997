import { Events } from "../../gen/cortex/events/v1/events_pb.js";
import { defineService } from "../grpc/handlers.js";
import { publish } from "./publish.js";
import { subscribe } from "./subscribe.js";

export const events = defineService({
  descriptor: Events,
  handlers: { publish, subscribe },
  waiting: ["subscribe"],
  permissions: { publish: "write", subscribe: "read" },
});

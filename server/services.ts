// The services that the server has. Start, reflection, health, authorization and the tests that walk all RPCs
// read this list.
import { claims } from "./claims/service.js";
import { events } from "./events/service.js";
import type { Service } from "./grpc/handlers.js";
import { immutableStore } from "./immutable/service.js";
import { mutableStore } from "./mutable/service.js";
import { scopes } from "./scopes/service.js";
import { streams } from "./streams/service.js";
import { users } from "./users/service.js";

export const services = [
  mutableStore,
  immutableStore,
  users,
  claims,
  events,
  streams,
  scopes,
] as unknown as readonly Service[];

// Asks the server at CORTEX_LISTEN for its health: exit code 0 where it serves. For container health checks.
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { defaults } from "./config.js";

const address = (process.env.CORTEX_LISTEN ?? defaults.listen).replace("0.0.0.0", "127.0.0.1");
const check = service.Check;
if (!check) throw new Error("the health service has no Check");
new Client(address, credentials.createInsecure()).makeUnaryRequest(
  check.path,
  check.requestSerialize,
  check.responseDeserialize,
  { service: "" },
  new Metadata(),
  { deadline: new Date(Date.now() + 2500) },
  (error, reply) =>
    process.exit(!error && (reply as { status: string }).status === "SERVING" ? 0 : 1),
);

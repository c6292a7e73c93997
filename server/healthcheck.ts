// The health check of a container: asks the server at CORTEX_LISTEN for its health. The exit code is 0 if it
// serves.
import { readFileSync } from "node:fs";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { defaults } from "./config/config.js";

const { CORTEX_LISTEN, CORTEX_TLS_CERT: cert, CORTEX_TLS_KEY: key } = process.env;
const address = (CORTEX_LISTEN ?? defaults.listen).replace("0.0.0.0", "127.0.0.1");
const channel =
  cert && key
    ? // The address is local, so the certificate is not verified. The server's own certificate serves as the client's.
      credentials.createSsl(null, readFileSync(key), readFileSync(cert), {
        rejectUnauthorized: false,
      })
    : credentials.createInsecure();
const check = service.Check;
if (!check) throw new Error("the health service has no Check");
const options = cert ? { "grpc.ssl_target_name_override": "localhost" } : {};
new Client(address, channel, options).makeUnaryRequest(
  check.path,
  check.requestSerialize,
  check.responseDeserialize,
  { service: "" },
  new Metadata(),
  { deadline: new Date(Date.now() + 2500) },
  (error, reply) =>
    process.exit(!error && (reply as { status: string }).status === "SERVING" ? 0 : 1),
);

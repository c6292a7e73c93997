// `cortex-store health`: asks a server of this machine for its health. The exit code is 0 if it serves,
// otherwise 1. The address is that of the settings, or else the one that the running server has noted.
import { readFileSync } from "node:fs";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { defaults, Printed, readSettings, UsageError } from "./config/config.js";
import { version } from "./config/version.js";
import { runningServers, type ServerNote } from "./server-note.js";

const timeoutMs = 2500;

export async function reportHealth(argv: string[]): Promise<void> {
  try {
    const server = await findServer(argv);
    console.log(`${await ask(server)} ${server.address}`);
  } catch (error) {
    if (error instanceof Printed) return;
    console.error(`cortex-store: ${error instanceof Error ? error.message : error}`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

async function findServer(argv: string[]): Promise<ServerNote> {
  const { config } = readSettings(argv, process.env, version);
  const { listen, tlsCert, tlsKey } = config;
  const servers = await runningServers();
  if (listen !== defaults.listen && !listen.endsWith(":0"))
    return (
      servers.find(({ address }) => address === listen) ?? { address: listen, tlsCert, tlsKey }
    );
  const [found, ...more] = servers;
  if (more.length > 0)
    throw new Error(
      `several servers run here (${[found, ...more].map((one) => one?.address).join(", ")}): say which with --listen`,
    );
  return found ?? { address: listen, tlsCert, tlsKey };
}

/** Gives SERVING; throws what is wrong otherwise. */
async function ask({ address, tlsCert, tlsKey }: ServerNote): Promise<string> {
  const local = address.replace(/^0\.0\.0\.0:/, "127.0.0.1:").replace(/^\[::\]:/, "[::1]:");
  // The address is local, so the certificate is not verified. The server's own serves as the client's.
  const channel =
    tlsCert && tlsKey
      ? credentials.createSsl(null, readFileSync(tlsKey), readFileSync(tlsCert), {
          rejectUnauthorized: false,
        })
      : credentials.createInsecure();
  const { Check: check } = service;
  if (!check) throw new Error("the health service has no Check");
  const client = new Client(
    local,
    channel,
    tlsCert ? { "grpc.ssl_target_name_override": "localhost" } : {},
  );
  try {
    const status = await new Promise<string>((resolve, reject) => {
      client.makeUnaryRequest(
        check.path,
        check.requestSerialize,
        check.responseDeserialize,
        { service: "" },
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null, reply) =>
          error
            ? reject(new Error(`no server answers at ${local} (${reasonOf(error)})`))
            : resolve((reply as { status: string }).status),
      );
    });
    if (status !== "SERVING") throw new Error(`the server at ${local} is ${status}`);
    return status;
  } finally {
    client.close();
  }
}

/** The text of gRPC without what only its developers need. */
const reasonOf = ({ details }: ServiceError) =>
  details
    .replace(/^No connection established\. Last error: (Error: )?/, "")
    .replace(/ \(\d{4}-[^)]*Z\)/g, "")
    .replace(/\s*\.? ?Resolution note: $/, "");

// Finds out why there is no connection. It makes a call that does not wait for a connection, and reports how
// that call failed.
import { type Client, Metadata, status } from "@grpc/grpc-js";
import { CortexError } from "./error.js";

const askMs = 250;

export async function unreachable(client: Client, address: string): Promise<CortexError> {
  const problem = await new Promise<string>((resolve) => {
    const same = (bytes: Buffer) => bytes;
    const options = { deadline: Date.now() + askMs };
    client.makeUnaryRequest("/", same, same, Buffer.alloc(0), new Metadata(), options, (error) =>
      resolve(error?.code === status.UNAVAILABLE ? `: ${error.details}` : ""),
    );
  });
  const message = `no server can be reached at ${address}${problem}`;
  return new CortexError("UNAVAILABLE", message, { address, applied: "no" });
}

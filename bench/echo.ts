// The floor of every measurement: a grpc-js server whose handler returns the bytes that it got. No store behind
// grpc-js can cost less.
import { Server, ServerCredentials } from "@grpc/grpc-js";

export const echoPath = "/bench.Echo/Echo";

const same = (bytes: Buffer) => bytes;
const server = new Server({ "grpc.enable_channelz": 0 });
server.addService(
  {
    echo: {
      path: echoPath,
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  },
  {
    echo: (call: { request: Buffer }, reply: (error: null, bytes: Buffer) => void) =>
      reply(null, call.request),
  },
);
if (process.argv[1] === import.meta.filename) {
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(`listening on 127.0.0.1:${port}`);
  });
  process.once("SIGTERM", () => server.forceShutdown());
}

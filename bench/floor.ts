// A grpc-js server that decodes the same requests and encodes the same replies, but does no work. Its speed
// is the limit of gRPC in Node, so no store behind grpc-js can be faster.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { MutableStore, RecordSchema } from "../gen/cortex/mutable/v1/mutable_pb.js";

const now = timestampNow();
const record = create(RecordSchema, {
  namespace: "bench",
  key: "hot",
  valueJson: "1",
  metadataJson: "{}",
  createTime: now,
  updateTime: now,
  revision: "1",
});
const { update } = MutableStore.method;
const server = new Server({ "grpc.enable_channelz": 0 });
server.addService(
  {
    update: {
      path: `/${MutableStore.typeName}/${update.name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: (request) => Buffer.from(toBinary(update.input, request)),
      requestDeserialize: (bytes) => fromBinary(update.input, bytes),
      responseSerialize: (reply) => Buffer.from(toBinary(update.output, reply)),
      responseDeserialize: (bytes) => fromBinary(update.output, bytes),
    },
  },
  {
    update: (_: unknown, reply: (error: null, value: unknown) => void) =>
      reply(null, create(update.output, { record })),
  },
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`listening on 127.0.0.1:${port}`);
});
process.once("SIGTERM", () => server.forceShutdown());

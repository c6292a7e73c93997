// The grpc-js server: its options, the services, health and reflection.
import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { logVerbosity, Server, type ServerInterceptor, setLogVerbosity } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import { file_cortex_error_v1_error } from "../../gen/cortex/error/v1/error_pb.js";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.js";
import { file_google_rpc_status } from "../../gen/google/rpc/status_pb.js";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import type { ServerContext } from "./context.js";
import { addService, type Service } from "./handlers.js";
import { serveUnchanged } from "./patches.js";
import { requestBytes } from "./request-bytes.js";

export interface GrpcServer {
  server: Server;
  setHealth(status: "SERVING" | "NOT_SERVING"): void;
}

export function createServer(
  services: readonly Service[],
  context: ServerContext,
  interceptors: ServerInterceptor[],
): GrpcServer {
  const { config, log } = context;
  requestBytes.limit = config.requestBytesMax;
  requestBytes.tenantLimit = config.tenantRequestBytesMax;
  requestBytes.onRefused = (problem) => log.warn({}, problem);
  setLogVerbosity(logVerbosity.NONE); // grpc-js prints headers that it does not like, tokens among them
  const server = new Server({
    // Above our own limit, so that a message a little too large is refused with its reason.
    "grpc.max_receive_message_length": config.messageBytesMax + 1024 * 1024,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": config.keepaliveSeconds * 1000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.max_concurrent_streams": config.streamsMax,
    "grpc.enable_channelz": 0, // statistics that nobody reads
    interceptors,
  });
  for (const service of services) addService(server, service, context);
  const names = services.map(({ descriptor }) => descriptor.typeName);
  const health = new HealthImplementation();
  health.addToServer(server);
  if (config.reflection) reflection(services).addToServer(server);
  return {
    server,
    setHealth(status) {
      for (const name of ["", ...names]) health.setStatus(name, status);
    },
  };
}

/** The descriptors as compiled into the server, for grpcurl and buf curl. */
function reflection(services: readonly Service[]): ReflectionService {
  const descriptors = [...services.map(({ descriptor }) => descriptor), Health];
  // Errors travel as Any, so no service's file imports their types.
  const errors = [
    file_google_rpc_error_details,
    file_google_rpc_status,
    file_cortex_error_v1_error,
  ];
  const files = new Set<DescFile>();
  for (const file of [...errors, ...descriptors.map(({ file }) => file)]) addFile(files, file);
  const encoded = new Map(
    [...files].map(({ proto }) => [
      proto.name,
      Buffer.from(toBinary(FileDescriptorProtoSchema, proto)),
    ]),
  );
  const format = "Protocol Buffer 3 DescriptorProto";
  const service = new ReflectionService(
    { all: { format, type: {}, fileDescriptorProtos: [...encoded.values()] } },
    { services: descriptors.map(({ typeName }) => typeName) },
  );
  serveUnchanged(service, encoded);
  return service;
}

/** Adds a file behind the files that it imports. */
function addFile(files: Set<DescFile>, file: DescFile): void {
  if (files.has(file)) return;
  for (const imported of file.dependencies) addFile(files, imported);
  files.add(file);
}

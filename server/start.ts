// The only wiring: database -> migrate -> serve -> drain.
import { toBinary } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_timestamp,
} from "@bufbuild/protobuf/wkt";
import { logVerbosity, Server, setLogVerbosity } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import type { Logger } from "pino";
import { file_cortex_error_v1_error } from "../gen/cortex/error/v1/error_pb.js";
import {
  file_cortex_immutable_v1_immutable,
  ImmutableStore,
} from "../gen/cortex/immutable/v1/immutable_pb.js";
import {
  file_cortex_mutable_v1_mutable,
  MutableStore,
} from "../gen/cortex/mutable/v1/mutable_pb.js";
import { file_cortex_users_v1_users, Users } from "../gen/cortex/users/v1/users_pb.js";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.js";
import { file_google_rpc_status } from "../gen/google/rpc/status_pb.js";
import { file_grpc_health_v1_health, Health } from "../gen/grpc/health/v1/health_pb.js";
import { authenticator } from "./auth/authenticate.js";
import { nobody } from "./auth/credentials.js";
import { authInterceptor } from "./auth/interceptor.js";
import { type Config, consistent, isLoopback } from "./config/config.js";
import type { CortexError } from "./errors/reasons.js";
import type { ServerContext } from "./grpc/call.js";
import { addService } from "./grpc/handlers.js";
import { Listener } from "./grpc/listener.js";
import { transport } from "./grpc/tls.js";
import { immutableStore } from "./immutable/service.js";
import { mutableStore } from "./mutable/service.js";
import { migrate } from "./postgres/migrate.js";
import { Pools } from "./postgres/pools.js";
import { AccessCounter } from "./runtime/access-counter.js";
import { GroupCommits } from "./runtime/group-commit.js";
import { InFlight } from "./runtime/in-flight.js";
import { KeyLocks } from "./runtime/key-locks.js";
import { Quotas } from "./runtime/quotas.js";
import { RateLimiter } from "./runtime/rate-limiter.js";
import { languageOf } from "./search/language.js";
import { sweep } from "./storage/entries/sweep.js";
import { deleteOldReplies } from "./storage/idempotency.js";
import { sweep as sweepVersions } from "./storage/versions/sweep.js";
import { users } from "./users/service.js";

export interface Running {
  /** HOST:PORT that is served. */
  address: string;
  /** Drains: no new calls, calls in flight finish within the drain time, what is counted is written. */
  stop(): Promise<void>;
}

/** Serves on config.listen over the Postgres of the URL, whose schema is up to date when this resolves. */
export async function start(config: Config, databaseUrl: string, log: Logger): Promise<Running> {
  consistent(config);
  const undo: (() => unknown)[] = [];
  try {
    return await open(config, databaseUrl, log, undo);
  } catch (error) {
    for (const close of undo.reverse()) await close();
    throw error;
  }
}

/** Opens all there is to open; what is open by then is to be closed where it fails. */
async function open(
  config: Config,
  databaseUrl: string,
  log: Logger,
  undo: (() => unknown)[],
): Promise<Running> {
  const auth = await authenticator(config, log);
  undo.push(() => auth?.stop());
  const { credentials, stop: stopTransport } = await transport(config, log);
  undo.push(stopTransport);
  warn(config, log);
  await migrate(databaseUrl);
  const database = new Pools(databaseUrl, config);
  undo.push(() => database.close());
  const housekeeping = database.housekeeping.run([], new AbortController().signal);
  const language = await languageOf(housekeeping, config.searchLanguage);
  const access = new AccessCounter(housekeeping, log);
  const listener = new Listener(config, log);
  const context: ServerContext = {
    unasked: auth ? undefined : nobody,
    listener,
    rates: new RateLimiter(config.ratePerSecond, config.rateBurst || config.ratePerSecond),
    quotas: new Quotas(
      { keys: config.quotaKeys, bytes: config.quotaBytes, versions: config.quotaVersions },
      housekeeping,
    ),
    database,
    shares: new GroupCommits(database.batches, config.queueMax),
    locks: new KeyLocks(config.queueMax),
    access,
    config,
    language,
    log,
    calls: new InFlight(),
  };

  setLogVerbosity(logVerbosity.NONE); // grpc-js prints headers it does not like, tokens among them
  const server = new Server({
    // Above our own limit, so that a message a little too large is refused with its reason.
    "grpc.max_receive_message_length": config.messageBytesMax + 1024 * 1024,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": config.keepaliveSeconds * 1000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.max_concurrent_streams": config.streamsMax,
    "grpc.enable_channelz": 0, // statistics nobody reads
    ...(auth && { interceptors: [authInterceptor(auth, refused(config, log))] }),
  });
  addService(server, MutableStore, mutableStore, context);
  addService(server, ImmutableStore, immutableStore, context);
  addService(server, Users, users, context);
  const health = new HealthImplementation();
  health.addToServer(server);
  if (config.reflection) reflection().addToServer(server);

  const port = await listener.serve(server, credentials);
  setHealth(health, "SERVING");
  const sweeping = every(config.sweepSeconds * 1000, async (signal) => {
    try {
      const run = database.housekeeping.run([], signal);
      const entries = await sweep(run);
      const versions = await sweepVersions(run, config.retention);
      const replies = await deleteOldReplies(run, config.requestSeconds);
      if (entries + versions + replies > 0)
        log.debug({ entries, versions, replies }, "expired, forgotten and old things swept");
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, "the sweep failed and will be tried again");
    }
  });

  return {
    address: config.listen.replace(/:\d+$/, `:${port}`),
    async stop() {
      setHealth(health, "NOT_SERVING");
      listener.close();
      await drain(server, context.calls, config.drainSeconds * 1000);
      auth?.stop();
      stopTransport();
      await sweeping.stop();
      await access.flush();
      await database.close();
    },
  };
}

/** Credentials that do not count, in the log. */
const refused =
  ({ auditLog }: Config, log: Logger) =>
  (path: string, { reason, details, cause }: CortexError, peer: string) => {
    const { problem } = details;
    if (reason !== "UNAUTHENTICATED")
      log.warn({ err: cause, outcome: reason }, "credentials could not be looked at");
    else if (auditLog !== "none")
      log.info({ rpc: path.slice(1), outcome: reason, problem, peer }, "audit");
  };

/** What may be meant so, but is better said. */
function warn({ auth, insecure, listen, tlsCert, tlsClientCa }: Config, log: Logger): void {
  if (isLoopback(listen)) return;
  if (auth === "none" && insecure && !tlsClientCa)
    log.warn({ listen }, "everybody who can reach this address may do everything (--insecure)");
  else if (!tlsCert)
    log.warn(
      { listen },
      "keys and tokens travel readable: serve TLS (--tls-cert), or behind a proxy that does",
    );
}

const services = ["", MutableStore.typeName, ImmutableStore.typeName, Users.typeName];

function setHealth(health: HealthImplementation, status: "SERVING" | "NOT_SERVING"): void {
  for (const service of services) health.setStatus(service, status);
}

/** Lets the calls in flight finish, then closes what else is open (health watches, reflection). */
async function drain(server: Server, calls: InFlight, drainMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  await within(drainMs, calls.drained());
  calls.abort();
  await within(250, closed); // the last replies are on their way
  server.forceShutdown();
  await within(1000, calls.drained()); // what was aborted gives its connection back
}

function within(ms: number, done: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void done.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function every(ms: number, work: (signal: AbortSignal) => Promise<void>) {
  const controller = new AbortController();
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= work(controller.signal).finally(() => {
      running = undefined;
    });
  }, ms);
  return {
    async stop() {
      clearInterval(timer);
      controller.abort();
      await running;
    },
  };
}

/** The schema as the server itself has it compiled in: grpcurl and buf curl ask for it. */
function reflection(): ReflectionService {
  const files = [
    file_google_protobuf_any,
    file_google_protobuf_duration,
    file_google_protobuf_timestamp,
    file_google_rpc_error_details,
    file_google_rpc_status,
    file_grpc_health_v1_health,
    file_cortex_error_v1_error,
    file_cortex_users_v1_users,
    file_cortex_immutable_v1_immutable,
    file_cortex_mutable_v1_mutable,
  ];
  const fileDescriptorProtos = files.map(({ proto }) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, proto)),
  );
  const format = "Protocol Buffer 3 DescriptorProto";
  return new ReflectionService(
    { all: { format, type: {}, fileDescriptorProtos } },
    { services: [...services.filter((name) => name !== ""), Health.typeName] },
  );
}

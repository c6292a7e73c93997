// Streams: messages are sent as fast as the reader takes them, and a reader that takes nothing for too long
// is given up.
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  ServerDuplexStream,
} from "@grpc/grpc-js";
import { encode } from "../../wire/codec.js";
import type { Endpoint } from "../auth/authorize.js";
import { CortexError } from "../errors/reasons.js";
import { reasonOf } from "../errors/sqlstate.js";
import { toStatus } from "../errors/status.js";
import { type Call, type Init, ServerCall, type Writable } from "./call.js";
import type { ServerContext } from "./context.js";

type StreamHandler = (request: unknown, call: Call) => AsyncGenerator<Init>;
type BidiHandler = (requests: AsyncIterator<unknown>, call: Call) => AsyncGenerator<Init>;

export function serverStream(
  endpoint: Endpoint,
  handler: StreamHandler,
  context: ServerContext,
): handleServerStreamingCall<unknown, Init> {
  return async (grpc) => {
    const call = new ServerCall(endpoint, context, grpc);
    await send(grpc, call, () => handler(grpc.request, call.admit(grpc.request)));
  };
}

export function bidiStream(
  endpoint: Endpoint,
  handler: BidiHandler,
  context: ServerContext,
): handleBidiStreamingCall<unknown, Init> {
  return async (grpc) => {
    const call = new ServerCall(endpoint, context, grpc);
    await send(grpc, call, () => handler(received(grpc, call), call.admit(undefined)));
  };
}

/** Sends the messages of a handler. */
async function send(
  grpc: Writable,
  call: ServerCall,
  open: () => AsyncGenerator<Init>,
): Promise<void> {
  const { output } = call.endpoint.method;
  const stopWatching = call.watchCredentials();
  try {
    // The handler makes one message while the message before is on its way; if it waits for what others do, only once
    // that is taken. Messages are sent as long as somebody is there to read them, also while the server stops: one of
    // them may say that a transaction was committed.
    let previous = Promise.resolve();
    for await (const message of inRoom(open(), grpc, call)) {
      await previous;
      if (call.isOver) throw call.signal.reason;
      // A transaction asks itself before it commits, and then tells what it did.
      if (call.withdrawn && !isBidi(call)) throw call.withdrawn;
      previous = write(grpc, encode(output, call.shown(message)), call);
      call.leaveRoom();
      previous.catch(() => {}); // nobody awaits it if the handler fails first
      if (call.endpoint.waits) await previous;
    }
    await previous;
    grpc.end();
    call.finish();
  } catch (error) {
    const reason = reasonOf(error);
    grpc.emit("error", toStatus(reason));
    call.finish(reason);
  } finally {
    call.leaveRoom();
    stopWatching();
  }
}

const isBidi = ({ endpoint }: ServerCall): boolean =>
  endpoint.method.methodKind === "bidi_streaming";

/**
 * The messages of a handler. Each is made once there is room for it among the bytes that callers have not taken.
 * The messages of Transact are few: one for each message of the caller, who waits for it. A watch asks by itself.
 */
async function* inRoom(
  messages: AsyncGenerator<Init>,
  grpc: Writable,
  call: ServerCall,
): AsyncGenerator<Init> {
  const { context, tenant, signal } = call;
  if (isBidi(call) || call.endpoint.waits) return yield* messages;
  let release: (() => void) | undefined;
  try {
    for (;;) {
      release = await context.listener.room(grpc, tenant, signal);
      const { done, value } = await messages.next();
      if (done) return;
      yield value; // until the next one is asked for, this one is encoded, and counted as it is sent
      release();
    }
  } finally {
    release?.();
    await messages.return(undefined);
  }
}

/** The messages of the caller, as the handler asks for them. */
async function* received(
  grpc: ServerDuplexStream<unknown, Init>,
  call: ServerCall,
): AsyncGenerator<unknown> {
  // When the caller's side ends, our side goes on: by default the iterator would destroy both.
  for await (const message of grpc.iterator({ destroyOnReturn: false })) {
    if (message instanceof CortexError) throw message;
    call.admitMessage(message);
    yield message;
  }
}

/**
 * Writes a message. Resolves when the reader's side has taken it or the call is over; fails with SLOW_READER
 * when the reader takes nothing for `--stall-seconds`.
 */
function write(grpc: Writable, message: Buffer, call: ServerCall): Promise<void> {
  const { listener, config } = call.context;
  const { signal } = call;
  const release = listener.sending(grpc, call.tenant, message.length);
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout;
    const stop = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", leave);
    };
    // The connection still holds the message.
    const leave = () => {
      call.keepUntilOver(release);
      stop();
      resolve();
    };
    const done = () => {
      release?.();
      stop();
      resolve();
    };
    const giveUp = () => {
      call.keepUntilOver(release);
      stop();
      reject(new CortexError("SLOW_READER", { limit: `${config.stallSeconds}` }));
    };
    const watch = (bytesBefore?: number) => {
      timer = setTimeout(() => {
        const bytes = listener.bytesTaken(grpc);
        if (bytes !== bytesBefore) watch(bytes);
        else giveUp();
      }, config.stallSeconds * 1000);
    };
    watch();
    signal.addEventListener("abort", leave, { once: true });
    grpc.write(message as unknown as Init, done);
    if (signal.aborted) leave();
  });
}

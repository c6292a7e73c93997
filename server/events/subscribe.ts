import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { SubscribeRequest } from "../../gen/cortex/events/v1/events_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Item } from "../feed/watcher.js";
import type { ChannelSelector } from "../feed/watchers.js";
import type { Call } from "../grpc/call.js";
import * as check from "../validation/fields.js";

const heartbeatMs = 10_000;
const messageRowsMax = 100;
const messageBytesMax = 256 * 1024;

export async function* subscribe(request: SubscribeRequest, call: Call) {
  const { caller, server, signal } = call;
  const selector: ChannelSelector = {
    tenant: caller.tenant,
    store: "event",
    pattern: check.channelPattern(request.pattern),
  };
  const subscriber = server.feed.open(selector);
  // The call may be waiting until its caller takes a message. This ends it also then.
  subscriber.onStop = (missed) => call.fail(reasonOf(subscriber.failure, missed));
  const { live } = subscriber;
  const stallMs = server.config.stallSeconds * 900; // before the stream would end without a count
  let timer: NodeJS.Timeout | undefined;
  try {
    await server.feed.join(subscriber, signal);
    yield {};
    for (;;) {
      signal.throwIfAborted();
      if (live.length === 0) await subscriber.wait(heartbeatMs, signal);
      const items = await call.inRoom(() => subscriber.take(live, messageRowsMax, messageBytesMax));
      timer = setTimeout(() => call.fail(missedEvents(live.length)), stallMs);
      yield { events: items.map(toEvent) };
      clearTimeout(timer); // it was taken
    }
  } finally {
    clearTimeout(timer);
    server.feed.remove(subscriber);
  }
}

/** The error that ends a subscription: WATCH_DISABLED if there is no log, else EVENTS_MISSED. */
const reasonOf = (failure: CortexError | undefined, missed: number | undefined): CortexError =>
  failure?.reason === "WATCH_DISABLED" ? failure : missedEvents(missed);

const missedEvents = (count: number | undefined): CortexError =>
  new CortexError("EVENTS_MISSED", count ? { missed: `${count}` } : {});

const toEvent = ({ change: { name, value, at, agent_id } }: Item) => ({
  channel: name,
  dataJson: value ?? "",
  publishTime: timestampFromDate(at),
  ...(agent_id !== null && { publishedBy: agent_id }),
});

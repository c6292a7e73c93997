// Callers that open calls and reset them: what such a call may cost, and how many are too many.
import { create, toBinary } from "@bufbuild/protobuf";
import { connectivityState, type ServiceError, status } from "@grpc/grpc-js";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Config } from "../../server/config/config.js";
import { Session } from "../support/frames.js";
import { Raw } from "../support/raw.js";
import { Resetter } from "../support/resetter.js";
import { serve } from "../support/server.js";

const s = serve();
const { exists, set } = MutableStore.method;
const enhanceYourCalm = 11;

/** A server with these settings, and the lines of its log. */
async function logged(settings: Partial<Config>) {
  const lines: { msg: string; rpc?: string; address?: string }[] = [];
  const log = pino({ level: "debug" }, { write: (line) => void lines.push(JSON.parse(line)) });
  const { address } = await s.another(settings, log);
  return { address, lines };
}

describe("a call that its packet resets", () => {
  it("reaches no handler and no statement", async () => {
    const { address, lines } = await logged({});
    const caller = new Resetter(address);
    await caller.openAndReset(100);
    // The headers came before, the message comes with the reset.
    const opened = caller.open(100);
    expect(await caller.isKept()).toBe(true);
    caller.reset(opened);
    expect(await caller.isKept()).toBe(true);
    const raw = new Raw(address);
    await raw.call(exists, { namespace: "reset", key: "k" });
    expect(lines.flatMap(({ rpc }) => rpc ?? [])).toEqual([`${MutableStore.typeName}/Exists`]);
    expect(await s.sql`select 1 from mutable where namespace = 'reset'`).toHaveLength(0);
    caller.close();
    raw.close();
  });
});

it("a call without a message is answered", async () => {
  const session = new Session(s.address);
  const { grpc } = await session.send(`/${MutableStore.typeName}/Set`, {}, Buffer.alloc(0));
  expect(grpc).toBe(`${status.UNIMPLEMENTED}`);
  session.close();
});

describe("a connection", () => {
  it("may reset as many calls as the setting says; one more closes it", async () => {
    const { address, lines } = await logged({ resetsMax: 20, resetsPerAddressMax: 0 });
    for (let round = 0; round < 3; round++) {
      const caller = new Resetter(address); // with no limit for its address, it may connect again at once
      await caller.openAndReset(20);
      expect(await caller.isKept()).toBe(true);
      await caller.openAndReset(1);
      await caller.closed;
      expect(caller.goaway).toBe(enhanceYourCalm);
    }
    const warnings = lines.filter(({ msg }) => msg.startsWith("a connection is closed"));
    expect(warnings).toMatchObject([{ address: "127.0.0.1", limit: 20 }]);
  });

  it("may by default reset at once all the calls that it may have in flight", async () => {
    const caller = new Resetter(s.address);
    caller.reset(caller.open(1000));
    expect(await caller.isKept()).toBe(true);
    caller.close();
  });
});

describe("an address", () => {
  it("that resets too many calls is kept out for a while; what is connected is served", async () => {
    const settings = { resetsMax: 30, resetsPerAddressMax: 40, keepOutSeconds: 1 };
    const { address, lines } = await logged(settings);
    const raw = new Raw(address);
    const call = () => raw.call(exists, { namespace: "ns", key: "k" });
    expect(await call()).not.toHaveProperty("reason");
    const [one, two] = [new Resetter(address), new Resetter(address)];
    await one.openAndReset(20);
    await two.openAndReset(20);
    expect([await one.isKept(), await two.isKept()]).toEqual([true, true]);
    await two.openAndReset(1);
    await two.closed;
    expect(two.goaway).toBe(enhanceYourCalm);
    for (let i = 0; i < 3; i++) expect(await new Resetter(address).isKept()).toBe(false);
    expect(await call()).not.toHaveProperty("reason");
    await one.openAndReset(1); // the next reset of a connection of this address closes it
    expect(await one.isKept()).toBe(false);
    await expect.poll(() => new Resetter(address).isKept(), { timeout: 3000 }).toBe(true);
    const warnings = lines.filter(({ msg }) => msg.startsWith("an address is kept out"));
    expect(warnings).toMatchObject([{ address: "127.0.0.1", limit: 40, seconds: 1 }]);
    raw.close();
  });

  it("gives up calls also when it closes their connection", async () => {
    const { address } = await logged({ resetsPerAddressMax: 40 });
    for (const stays of [true, true, false]) {
      const caller = new Resetter(address);
      caller.open(20);
      expect(await caller.isKept()).toBe(true);
      caller.close();
      await expect.poll(() => new Resetter(address).isKept()).toBe(stays);
    }
  });
});

it("a client whose calls end by deadlines and by aborts keeps its connection", async () => {
  const raw = new Raw(s.address);
  const request = { namespace: "waits", key: "k", valueJson: "1" };
  await raw.call(set, request);
  const channel = raw.client.getChannel();
  const changed = new Promise<boolean>((resolve) =>
    channel.watchConnectivityState(connectivityState.READY, Date.now() + 2000, (error) =>
      resolve(!error),
    ),
  );
  await s.sql.begin(async (tx) => {
    await tx`select 1 from mutable where namespace = 'waits' for update`;
    const late = Array.from({ length: 300 }, (_, i) =>
      raw.call(set, request, {}, { deadline: new Date(Date.now() + 50 + i) }),
    );
    const bytes = Buffer.from(toBinary(set.input, create(set.input, request)));
    const aborted = Array.from({ length: 300 }, (_, i) => {
      const same = (buffer: Buffer) => buffer;
      const path = `/${MutableStore.typeName}/${set.name}`;
      return new Promise<ServiceError | null>((resolve) => {
        const call = raw.client.makeUnaryRequest(path, same, same, bytes, resolve);
        setTimeout(() => call.cancel(), 50 + i);
      });
    });
    for (const outcome of await Promise.all(late))
      expect(outcome).toMatchObject({ status: status.DEADLINE_EXCEEDED });
    for (const error of await Promise.all(aborted))
      expect(error).toMatchObject({ code: status.CANCELLED });
  });
  expect(await changed).toBe(false);
  expect(await raw.call(set, request)).not.toHaveProperty("reason");
  raw.close();
});

// The bus between server processes: who listens to a name is woken when another process publishes it.
import { afterAll, describe, expect, it } from "vitest";
import { Bus } from "../../server/postgres/bus.js";
import { proxyToPostgres } from "../support/proxy.js";
import { serve } from "../support/server.js";

const s = serve();
const buses: Bus[] = [];
const never = new AbortController().signal;
/** Opens a bus, and waits until it is connected, which wakes everybody who listens to it. */
async function open(url = s.databaseUrl): Promise<Bus> {
  const bus = new Bus(url);
  buses.push(bus);
  await bus.listen("anything").next(20_000, never);
  return bus;
}
afterAll(() => Promise.all(buses.map((bus) => bus.close())));

/** Publishes until the listener is woken. */
async function wakes(
  publisher: Bus,
  listener: Bus,
  name: string,
  publish = () => publisher.publish([name]),
) {
  const wakeUps = listener.listen(name);
  const timer = setInterval(publish, 50);
  const startedAt = performance.now();
  await wakeUps.next(20_000, never);
  clearInterval(timer);
  wakeUps.stop();
  return performance.now() - startedAt < 15_000;
}

describe("a name that is published", () => {
  it("wakes who listens to it in another process, and nobody else", async () => {
    const [one, two] = await Promise.all([open(), open()]);
    const other = two.listen("other");
    let woken = false;
    void other.next(60_000, never).then(() => {
      woken = true;
    });
    expect(await wakes(one, two, "tenant\0ns\0key")).toBe(true);
    expect(woken).toBe(false);
    expect(await wakes(one, two, "x", () => one.publishAll())).toBe(true);
    await expect.poll(() => woken).toBe(true);
    other.stop();
  });

  it("is not missed by who looked just before it came", async () => {
    const [one, two] = await Promise.all([open(), open()]);
    expect(await wakes(one, two, "ready")).toBe(true);
    const wakeUps = two.listen("k");
    const probe = two.listen("k");
    one.publish(["k"]);
    await probe.next(20_000, never); // it has come
    const startedAt = performance.now();
    await wakeUps.next(20_000, never);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    for (const one of [wakeUps, probe]) one.stop();
  });

  it("wakes everybody if there are more names than a notification holds", async () => {
    const [one, two] = await Promise.all([open(), open()]);
    const names = Array.from({ length: 2000 }, (_, i) => `name-${i}`);
    expect(await wakes(one, two, "none of these", () => one.publish(names))).toBe(true);
  });
});

describe("a bus whose connection is lost", () => {
  it("connects again: after its backend was ended, and after the connection has gone silent", async () => {
    const { proxy, url } = await proxyToPostgres(s.databaseUrl);
    const [one, two] = await Promise.all([open(), open(url)]);
    expect(await wakes(one, two, "a")).toBe(true);
    await s.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cortex-store bus' and datname = current_database()`;
    // The first time it may be the new connection that wakes.
    for (const name of ["b", "c"]) expect(await wakes(one, two, name)).toBe(true);
    proxy.freeze();
    for (const name of ["d", "e"]) expect(await wakes(one, two, name)).toBe(true);
    proxy.close();
  });

  it("ends a wait with its call", async () => {
    const wakeUps = (await open()).listen("k");
    const reason = new Error("gone");
    await expect(wakeUps.next(20_000, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

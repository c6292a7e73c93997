// Calls that wait for what others do do not hold up the other calls of their client, however many they are.
import { describe, expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve({ streamsMax: 600, watchesMax: 5000 });

describe("beside calls that wait", () => {
  it("1200 subscriptions and 300 reads: other calls are made, and all get what they wait for", async () => {
    const cortex = s.client({ timeoutMs: 60_000 });
    let heard = 0;
    const ends = await Promise.all(
      Array.from({ length: 1200 }, () => cortex.events.subscribe("many", () => heard++)),
    );
    await cortex.streams.group("g", "c").ensure("jobs");
    const reads = Array.from({ length: 300 }, (_, i) =>
      cortex.streams.group("g", `c${i}`).read("jobs", { count: 1, blockMs: 60_000 }),
    );
    const calls = await Promise.all(
      Array.from({ length: 50 }, (_, i) => cortex.mutable.set("ns", `k${i}`, i)),
    );
    expect(calls).toHaveLength(50);
    expect(await cortex.events.publish("many", 1)).toBe(1200);
    await expect.poll(() => heard, { timeout: 20_000 }).toBe(1200);
    await cortex.streams.appendMany(
      "jobs",
      Array.from({ length: 300 }, (_, data) => ({ data })),
    );
    const got = (await Promise.all(reads)).flat().map(({ data }) => data);
    expect(got.sort((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, i) => i));
    for (const end of ends) end();
    await cortex.close();
  }, 120_000);

  it("a call of a closed client ends with CANCELLED", async () => {
    const cortex = s.client();
    await cortex.close();
    await expect(cortex.events.subscribe("x", () => {})).rejects.toMatchObject({
      code: "CANCELLED",
    });
    await expect(
      cortex.streams.group("g", "c").read("jobs", { blockMs: 1000 }),
    ).rejects.toMatchObject({ code: "CANCELLED" });
  });
});

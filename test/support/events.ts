// Subscriptions, for tests.
import { expect } from "vitest";
import type { Cortex, EventEnvelope, SubscribeOptions } from "../../client/index.js";

export interface Subscribed {
  readonly events: EventEnvelope[];
  /** The channels of the events. */
  readonly types: string[];
  /** Waits until exactly so many events have come. */
  count(n: number): Promise<void>;
  end(): void;
}

/** Subscribes, and collects what comes. Resolves once it has begun. */
export async function subscribed(
  cortex: Cortex,
  pattern: string,
  options: SubscribeOptions = {},
): Promise<Subscribed> {
  const events: EventEnvelope[] = [];
  const end = await cortex.events.subscribe(pattern, (event) => events.push(event), options);
  return {
    events,
    get types() {
      return events.map(({ type }) => type);
    },
    async count(n) {
      await expect.poll(() => events.length, { timeout: 15_000 }).toBe(n);
    },
    end,
  };
}

// The subscribers of a channel, against the meaning of patterns in other words.
import fc from "fast-check";
import { expect, it } from "vitest";
import { Channels } from "../../server/feed/channels.js";

const segment = fc.constantFrom("a", "b", "");
const channel = fc.array(segment, { minLength: 1, maxLength: 4 }).map((all) => all.join(":"));
const pattern = fc
  .tuple(
    fc.array(fc.constantFrom("a", "b", "", "*"), { maxLength: 3 }),
    fc.constantFrom("a", "*", "**"),
  )
  .map(([first, last]) => [...first, last].join(":"));

function matches(pattern: string[], channel: string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return channel.length === 0;
  if (channel.length === 0) return false;
  return (
    first === "**" || ((first === "*" || first === channel[0]) && matches(rest, channel.slice(1)))
  );
}

it("are those whose pattern matches, however others come and go", () => {
  const step = fc.record({ pattern, stays: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step), fc.array(channel), (steps, channels) => {
      const index = new Channels<object>();
      const all = steps.map(({ pattern, stays }) => ({ pattern, stays }));
      for (const one of all) index.add(one.pattern, one);
      for (const one of all) if (!one.stays) index.delete(one.pattern, one);
      for (const one of all) if (!one.stays) index.delete(one.pattern, one); // it is gone already
      const left = all.filter(({ stays }) => stays);
      for (const channel of channels) {
        const found = [...index.of(channel)];
        const expected = left.filter((one) => matches(one.pattern.split(":"), channel.split(":")));
        expect(new Set(found)).toEqual(new Set(expected));
        expect(found).toHaveLength(expected.length);
      }
      for (const one of left) index.delete(one.pattern, one);
      expect(index.isEmpty).toBe(true);
    }),
  );
});

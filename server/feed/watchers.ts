// Finds the watchers of a change: its cost does not grow with the watchers that do not match. A watcher asks for
// a name, or for all names with a prefix, in one namespace or type of its tenant; or for the events on some channels.
import { ownName, scopeOf } from "../validation/scope.js";
import { Channels } from "./channels.js";
import type { Change } from "./log.js";

export type Selector = NameSelector | ChannelSelector;

export interface NameSelector {
  tenant: string;
  store: "entry" | "record";
  /** The namespace or type. */
  space: string;
  /** One name. undefined: all names that begin with `prefix`. */
  name: string | undefined;
  /** "" is a prefix of all names. */
  prefix: string;
}

export interface ChannelSelector {
  tenant: string;
  store: "event";
  /** The pattern of the channels: see events.proto. */
  pattern: string;
}

interface Space<W> {
  byName: Map<string, Set<W>>;
  byPrefix: Map<string, Set<W>>;
  /** How many different prefixes there are of each length. */
  lengths: Map<number, number>;
}

/** No tenant and no namespace holds a control character, so names of spaces are distinct. */
const nameOf = ({
  tenant,
  store,
  space,
}: Pick<NameSelector, "tenant" | "store" | "space">): string => `${tenant}\0${store}\0${space}`;

export class Watchers<W extends { selector: Selector }> {
  readonly #spaces = new Map<string, Space<W>>();
  /** By tenant and scope: wildcards do not cross. */
  readonly #channels = new Map<string, Channels<W>>();

  add(watcher: W): void {
    const { selector } = watcher;
    if (selector.store === "event") {
      const place = channelsOf(selector.tenant, selector.pattern);
      const channels = this.#channels.get(place) ?? new Channels();
      this.#channels.set(place, channels);
      channels.add(ownName(selector.pattern), watcher);
      return;
    }
    const name = nameOf(selector);
    const space = this.#spaces.get(name) ?? {
      byName: new Map(),
      byPrefix: new Map(),
      lengths: new Map(),
    };
    this.#spaces.set(name, space);
    const [map, key] = placeOf(space, selector);
    const those = map.get(key);
    if (those) {
      those.add(watcher);
      return;
    }
    map.set(key, new Set([watcher]));
    if (map === space.byPrefix)
      space.lengths.set(key.length, (space.lengths.get(key.length) ?? 0) + 1);
  }

  delete(watcher: W): void {
    const { selector } = watcher;
    if (selector.store === "event") {
      const place = channelsOf(selector.tenant, selector.pattern);
      const channels = this.#channels.get(place);
      channels?.delete(ownName(selector.pattern), watcher);
      if (channels?.isEmpty) this.#channels.delete(place);
      return;
    }
    const name = nameOf(selector);
    const space = this.#spaces.get(name);
    if (!space) return;
    const [map, key] = placeOf(space, selector);
    const those = map.get(key);
    if (!those?.delete(watcher) || those.size > 0) return;
    map.delete(key);
    if (map === space.byPrefix) {
      const left = (space.lengths.get(key.length) ?? 0) - 1;
      if (left > 0) space.lengths.set(key.length, left);
      else space.lengths.delete(key.length);
    }
    if (space.byName.size + space.byPrefix.size === 0) this.#spaces.delete(name);
  }

  ofChannel(tenant: string, channel: string): Iterable<W> {
    return this.#channels.get(channelsOf(tenant, channel))?.of(ownName(channel)) ?? [];
  }

  *of(change: Change): Iterable<W> {
    const { tenant, store, space: of, name } = change;
    if (store === "mark") return;
    if (store === "event") {
      yield* this.ofChannel(tenant, name);
      return;
    }
    const space = this.#spaces.get(nameOf({ tenant, store, space: of }));
    if (!space) return;
    yield* space.byName.get(name) ?? [];
    for (const length of space.lengths.keys())
      if (length <= name.length) yield* space.byPrefix.get(name.slice(0, length)) ?? [];
  }
}

const channelsOf = (tenant: string, channel: string): string => `${tenant}\0${scopeOf(channel)}`;

const placeOf = <W>(
  space: Space<W>,
  { name, prefix }: NameSelector,
): [map: Map<string, Set<W>>, key: string] =>
  name === undefined ? [space.byPrefix, prefix] : [space.byName, name];

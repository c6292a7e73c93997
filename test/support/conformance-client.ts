// Makes the calls of the conformance table through the TypeScript client.
import type { Cortex, Surface } from "../../client/index.js";
import type { Args } from "./conformance.js";

/** The arguments that have places of their own, of the methods whose other arguments are options. */
const places: Record<string, readonly string[]> = {
  "mutable.set": ["namespace", "key", "value"],
  "mutable.get": ["namespace", "key"],
  "mutable.getRecord": ["namespace", "key"],
  "mutable.exists": ["namespace", "key"],
  "mutable.delete": ["namespace", "key"],
  "mutable.purge": ["namespace", "key"],
  "mutable.increment": ["namespace", "key", "amount"],
  "mutable.decrement": ["namespace", "key", "amount"],
  "mutable.append": ["namespace", "key", "element"],
  "mutable.merge": ["namespace", "key", "patch"],
  "mutable.expire": ["namespace", "key", "ttlSeconds"],
  "mutable.touch": ["namespace", "key", "ttlSeconds"],
  "mutable.once": ["namespace", "key", "value"],
  "mutable.getMany": ["namespace", "keys"],
  "mutable.setMany": ["namespace", "entries"],
  "mutable.list": ["namespace"],
  "mutable.count": ["namespace"],
  "mutable.listNamespaces": [],
  "mutable.purgeNamespace": ["namespace"],
  "immutable.get": ["type", "id"],
  "immutable.getVersion": ["type", "id", "version"],
  "immutable.getHistory": ["type", "id"],
  "immutable.getAtTimestamp": ["type", "id", "timestamp"],
  "immutable.list": [],
  "immutable.count": [],
  "immutable.search": ["query"],
  "immutable.purge": ["type", "id"],
  "immutable.purgeVersions": ["type", "id"],
  "immutable.verifyHistory": ["type", "id"],
  "immutable.getRetention": [],
  "users.create": ["id", "profile"],
  "users.upsert": ["id", "profile"],
  "users.update": ["id", "profile"],
  "users.get": ["id"],
  "users.list": [],
  "users.delete": ["id"],
  "claims.acquire": ["name"],
  "claims.get": ["name"],
  "claims.list": [],
  "events.publish": ["channel", "data"],
  "events.publishMany": ["events"],
  "streams.append": ["stream", "data"],
  "streams.appendMany": ["stream", "entries"],
  "streams.range": ["stream"],
  "streams.info": ["stream"],
  "streams.trim": ["stream"],
  "streams.list": [],
  "streams.delete": ["stream"],
  "group.ensure": ["stream"],
  "group.read": ["stream"],
  "group.ack": ["stream", "deliveries"],
  "group.nack": ["stream", "deliveries"],
  "group.info": ["stream"],
  "group.pending": ["stream"],
  "group.deadLetters": ["stream"],
  "group.retry": ["stream", "ids"],
  "group.removeConsumer": ["stream", "consumer"],
  "group.delete": ["stream"],
};

type Methods = Record<string, (...given: unknown[]) => Promise<unknown>>;

const split = (args: Args, names: readonly string[]): [Args, Args] => {
  const isTaken = ([name]: [string, unknown]) => names.includes(name);
  const entries = Object.entries(args);
  return [
    Object.fromEntries(entries.filter(isTaken)),
    Object.fromEntries(entries.filter((one) => !isTaken(one))),
  ];
};

/** Calls a method of the client. */
export async function callClient(cortex: Cortex, call: string, given: Args): Promise<unknown> {
  const { scope = [], ...args } = given;
  let surface: Surface = cortex;
  for (const { key, identifier } of scope as { key: string; identifier: string }[])
    surface = surface.scope(key, identifier);
  const [area = "", method = ""] = call.split(".");
  switch (call) {
    case "transaction.list": {
      const { operations, ...options } = args;
      return surface.mutable.transaction(operations as never, options);
    }
    case "immutable.store": {
      const [options, entry] = split(args, ["ifVersion", "includeHistory", "requestId", "claim"]);
      return surface.immutable.store(entry as never, options);
    }
    case "mutable.purgeMany": {
      const { namespace, ...rest } = args;
      const [options, filters] = split(rest, ["dryRun", "stepped"]);
      return surface.mutable.purgeMany(namespace as string, filters, options);
    }
    case "immutable.purgeMany": {
      const names = ["dryRun", "requireConfirmation", "confirmationToken"];
      const [options, filters] = split(args, names);
      return surface.immutable.purgeMany(filters, options);
    }
    case "claims.renew":
    case "claims.release": {
      const { name, fence, ...options } = args;
      const claim = { name, fence } as { name: string; fence: string };
      return (surface.claims as unknown as Methods)[method]?.(claim, options);
    }
    case "scopes.list":
      return surface.scopes();
    case "scopes.purge":
      return (surface as unknown as { purge(): Promise<unknown> }).purge();
    case "group.takeOver": {
      const { stream, group, consumer, minIdleSeconds, ...options } = args;
      const member = surface.streams.group(group as string, consumer as string);
      const minIdleMs = Number(minIdleSeconds) * 1000;
      return member.takeOver(stream as string, { ...options, minIdleMs });
    }
  }
  const names = places[call];
  if (!names) throw new Error(`the conformance table calls ${call}, which has no place here`);
  let target = (cortex as unknown as Record<string, Methods>)[area] as Methods;
  let own = args;
  if (area === "group") {
    const { group, consumer, ...rest } = args;
    target = surface.streams.group(group as string, consumer as string) as unknown as Methods;
    own = rest;
  } else if (area !== "users")
    target = (surface as unknown as Record<string, Methods>)[area] as Methods;
  const [, options] = split(own, names);
  const placed = names.map((name) => own[name]);
  return target[method]?.(...placed, ...(Object.keys(options).length > 0 ? [options] : []));
}

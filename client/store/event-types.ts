// The types of events that have schemas: names, payloads, patterns, and the proxy `store.events.user.created`.
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { ScopeStep } from "../core/call-options.js";

/** A schema of an event's data: of zod, valibot, arktype or any other library of Standard Schema (standardschema.dev). */
export type EventSchema = StandardSchemaV1;

/** Schemas by the name of the event; a group holds schemas by the rest of the name. */
export interface EventSchemas {
  readonly [name: string]: EventSchema | EventSchemas;
}

/** No events. */
export type NoEvents = Record<never, never>;

/** The events of a store, by their namespaces. */
export interface EventRegistry {
  readonly [namespace: string]: EventSchemas;
}

/** The names of all events below: `"user:created" | "user:notifications:email"`. */
export type EventNames<T, Prefix extends string = ""> = {
  [K in keyof T & string]: T[K] extends EventSchema
    ? `${Prefix}${K}`
    : EventNames<T[K], `${Prefix}${K}:`>;
}[keyof T & string];

/** The schema of an event. */
type SchemaOf<T, Name extends string> = Name extends `${infer Head}:${infer Rest}`
  ? Head extends keyof T
    ? SchemaOf<T[Head], Rest>
    : never
  : Name extends keyof T
    ? Extract<T[Name], EventSchema>
    : never;

/** What is published of an event: what its schema takes. */
export type EventInput<T, Name extends string> = StandardSchemaV1.InferInput<SchemaOf<T, Name>>;

/** What subscribers of an event get: what its schema gives. */
export type EventData<T, Name extends string> = StandardSchemaV1.InferOutput<SchemaOf<T, Name>>;

/** An event as a subscriber gets it. */
export interface EventContext<Type extends string = string, Data = any> {
  /** The channel: `user:created`. */
  type: Type;
  data: Data;
  /** When it was published: ISO 8601. By the database's clock; with an adapter, by the publisher's. */
  timestamp: string;
  /** The innermost scope or actor of the store that published it; undefined: none. */
  scope?: ScopeStep;
}

/** True if the pattern matches the name: `*` stands for one segment, `**` at the end for the rest. */
type IsMatch<Pattern extends string, Name extends string> = Pattern extends "**"
  ? true
  : Pattern extends `${infer Head}:${infer Rest}`
    ? Name extends `${infer Segment}:${infer More}`
      ? Head extends "*" | Segment
        ? IsMatch<Rest, More>
        : false
      : false
    : Name extends `${string}:${string}`
      ? false
      : Pattern extends "*" | Name
        ? true
        : false;

type Matching<Registry, Pattern extends string> = {
  [Name in EventNames<Registry>]: IsMatch<Pattern, Name> extends true ? Name : never;
}[EventNames<Registry>];

/** The events that a pattern matches, if they have schemas; else events with any data. */
export type EventOf<Registry, Pattern extends string> = string extends Pattern
  ? EventContext
  : [Matching<Registry, Pattern>] extends [never]
    ? EventContext
    :
        | {
            [Name in Matching<Registry, Pattern>]: EventContext<Name, EventData<Registry, Name>>;
          }[Matching<Registry, Pattern>]
        // Namespaces without schemas can match too.
        | (Pattern extends `*${string}` ? EventContext<string, unknown> : never);

/** Of all members of a union at once. */
type Intersection<Union> = (Union extends unknown ? (one: Union) => void : never) extends (
  all: infer All,
) => void
  ? All
  : never;

/** True if it is a union of several. */
export type IsUnion<T> = [T] extends [Intersection<T>] ? false : true;

/** A channel that lies in a namespace with schemas, and has none. */
type Unknown<Registry, Channel extends string> =
  Channel extends EventNames<Registry>
    ? never
    : Channel extends (keyof Registry & string) | `${keyof Registry & string}:${string}`
      ? Channel
      : never;

/** What may be published on a channel, or on each of several: of a namespace with schemas, only what has one. */
export type Publishable<Registry, Channel extends string> = string extends Channel
  ? unknown
  : [Unknown<Registry, Channel>] extends [never]
    ? Intersection<Channel extends EventNames<Registry> ? EventInput<Registry, Channel> : unknown>
    : never;

/** What may be subscribed to: of a namespace with schemas, only what has one, and patterns. */
export type Subscribable<Registry, Pattern extends string> = string extends Pattern
  ? string
  : Pattern extends `${string}*${string}`
    ? Pattern
    : [Unknown<Registry, Pattern>] extends [never]
      ? Pattern
      : never;

/** Ends a subscription. */
export type Unsubscribe = () => Promise<void>;

/** Called for each event, one after the other: a promise that it returns is awaited. */
export type EventContextHandler<Context = EventContext> = (context: Context) => unknown;

/** An event of the proxy: `store.events.user.created`. */
export interface EventAccessor<Input, Context> {
  /** As `events.publish`. */
  publish(data: Input, options?: EventPublishOptions): Promise<void>;
  /** As `events.subscribe`. */
  subscribe(handler: EventContextHandler<Context>): Promise<Unsubscribe>;
}

/** The options of `publish`. */
export interface EventPublishOptions {
  /** The user it belongs to; must exist. Not with an adapter. Default: none. */
  userId?: string | undefined;
}

/** The proxy of the events with schemas. */
export type EventProxy<Registry, T = Registry, Prefix extends string = ""> = {
  readonly [K in keyof T & string]: T[K] extends EventSchema
    ? EventAccessor<
        StandardSchemaV1.InferInput<T[K]>,
        EventContext<`${Prefix}${K}`, StandardSchemaV1.InferOutput<T[K]>>
      >
    : EventProxy<Registry, T[K], `${Prefix}${K}:`>;
};

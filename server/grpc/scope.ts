// The scope of a call: composes the names in its requests, and removes the scope from those in its responses. Handlers
// see whole names; only lists, counts and the like need the scope.
import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { Reach } from "../../gen/cortex/options/v1/options_pb.js";
import { reachOf } from "../auth/authorize.js";
import { inScope, pathOf, type ScopeStep } from "../validation/scope.js";

type Compose = (message: Record<string, unknown>, scope: string) => void;

const composers = new Map<DescMessage, Compose>();
const scoped = new Set([Reach.NAMESPACE, Reach.TYPE, Reach.CLAIM, Reach.CHANNEL, Reach.STREAM]);

/** The scope that a request names; "" for none. */
export function scopeOfRequest(request: unknown): string {
  const { scope, message } = (request ?? {}) as {
    scope?: ScopeStep[];
    message?: { value?: { scope?: ScopeStep[] } };
  };
  return pathOf(scope ?? message?.value?.scope ?? []);
}

/** Puts the names in a request into the scope. */
export function composeNames(schema: DescMessage, request: Message, scope: string): void {
  composerOf(schema)(request as unknown as Record<string, unknown>, scope);
}

/** What composes the names in messages of a type: made once, as every request passes it. */
function composerOf(schema: DescMessage): Compose {
  const known = composers.get(schema);
  if (known) return known;
  const steps: Compose[] = [];
  // Known before it is complete: a message may hold others of its own type.
  const composer: Compose = (message, scope) => {
    for (const step of steps) step(message, scope);
  };
  composers.set(schema, composer);
  for (const field of schema.fields) {
    const compose = valueComposer(field);
    if (!compose) continue;
    const { localName, oneof } = field;
    steps.push(
      oneof
        ? (message, scope) => {
            const group = message[oneof.localName] as { case?: string; value?: unknown };
            if (group.case === localName) group.value = compose(group.value, scope);
          }
        : (message, scope) => {
            const value = message[localName];
            if (value !== undefined) message[localName] = compose(value, scope);
          },
    );
  }
  return composer;
}

/** What composes the value of a field; undefined if it holds no names. */
function valueComposer(field: DescField): ((value: unknown, scope: string) => unknown) | undefined {
  const ofName = (name: unknown, scope: string) =>
    name === "" ? name : inScope(scope, name as string);
  const ofMessage = (schema: DescMessage) => {
    const compose = composerOf(schema);
    return (message: unknown, scope: string) => {
      compose(message as Record<string, unknown>, scope);
      return message;
    };
  };
  if (field.fieldKind === "scalar") return scoped.has(reachOf(field)) ? ofName : undefined;
  if (field.fieldKind === "message") return ofMessage(field.message);
  if (field.fieldKind !== "list") return undefined;
  const ofElement =
    field.listKind === "message"
      ? ofMessage(field.message)
      : field.listKind === "scalar" && scoped.has(reachOf(field))
        ? ofName
        : undefined;
  return (
    ofElement && ((list, scope) => (list as unknown[]).map((element) => ofElement(element, scope)))
  );
}

/** A response without the scope of its call in its names. It is made anew. */
export const withoutScope = <T>(response: T, scope: string): T => strip(response, scope) as T;

function strip(value: unknown, scope: string): unknown {
  if (typeof value === "string") return value.startsWith(scope) ? value.slice(scope.length) : value;
  if (Array.isArray(value)) return value.map((one) => strip(one, scope));
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if ((value as Partial<Message>).$typeName === "google.protobuf.Timestamp") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, strip(one, scope)]));
}

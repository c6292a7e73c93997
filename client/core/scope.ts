// The scope of a call's names.
import type { DescMessage, DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import type { ScopeStep } from "./call-options.js";
import { CortexError } from "./error.js";
import { text } from "./validate.js";

/** A step of the path: checks what protobuf cannot carry, and what is empty. */
export function scopeStep(key: unknown, identifier: unknown): ScopeStep {
  const part = (value: unknown, field: string): string => {
    const given = text(value, field, "INVALID_SCOPE");
    if (given !== "") return given;
    throw new CortexError("INVALID_SCOPE", `${field} is empty`, { field, problem: "is empty" });
  };
  return { key: part(key, "key"), identifier: part(identifier, "identifier") };
}

/** The request with the scope, if its RPC has names that can be in one. */
export function scopedInit<I extends DescMessage>(
  method: DescMethod & { input: I },
  request: MessageInitShape<I>,
  scope: readonly ScopeStep[],
): MessageInitShape<I> {
  if (scope.length === 0 || !method.input.field.scope) return request;
  return { ...request, scope: [...scope] } as MessageInitShape<I>;
}

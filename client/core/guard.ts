// The claim that guards a write.
import type { DescMethodUnary } from "@bufbuild/protobuf";
import type { ClaimGuard } from "./call-options.js";
import { CortexError } from "./error.js";
import { claimNameText, fenceText, rejectUnknown } from "./validate.js";

export function checkGuard(claim: ClaimGuard): ClaimGuard {
  if (typeof claim !== "object" || claim === null)
    rejectUnknown(claim, [], "INVALID_OPTIONS", "claim"); // throws: it is not an object
  return {
    name: claimNameText(claim.name, "claim.name"),
    fence: fenceText(claim.fence, "claim.fence"),
  };
}

/** The guard as a field of the request, if there is one: that of the call, or that of all calls. */
export function guardOf(
  method: DescMethodUnary,
  own: ClaimGuard | undefined,
  ofAll: ClaimGuard | undefined,
): { claim?: ClaimGuard } {
  if (method.input.field.claim) {
    const guard = own ? checkGuard(own) : ofAll;
    return guard ? { claim: guard } : {};
  }
  if (own === undefined) return {};
  const problem = "cannot guard this call";
  throw new CortexError("INVALID_OPTIONS", `claim ${problem}`, { field: "claim", problem });
}

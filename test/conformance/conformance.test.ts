// Runs the conformance table through the TypeScript client and through raw gRPC. The Python client runs it too:
// clients/python/tests/test_conformance.py.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CortexError } from "../../client/index.js";
import {
  at,
  type ConformanceCase,
  conformanceCases,
  difference,
  expand,
} from "../support/conformance.js";
import { callClient } from "../support/conformance-client.js";
import { callRaw } from "../support/conformance-raw.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const cases = await conformanceCases();
let raw: Raw;
let tenants = 0;
beforeAll(() => {
  raw = new Raw(s.address);
});
afterAll(() => raw.close());

type Call = (call: string, args: Record<string, unknown>) => Promise<unknown>;

/** What a call gave: a result, or the code and the details of its failure. */
async function outcomeOf(
  call: Promise<unknown>,
): Promise<{ result: unknown } | { code: string; details: object }> {
  try {
    return { result: await call };
  } catch (error) {
    if (error instanceof CortexError) return { code: error.code, details: error.details };
    if (error instanceof Error) throw error;
    const { reason = "", details = {} } = error as { reason?: string; details?: object };
    return { code: reason, details };
  }
}

/** The outcome with the names of fields as all languages have them: `value_json` and `ifRevision` as any writes them. */
function named(outcome: Awaited<ReturnType<typeof outcomeOf>>) {
  if ("result" in outcome || !("field" in outcome.details)) return outcome;
  const field = String(outcome.details.field)
    .replace(/_?json$/i, "")
    .replaceAll("_", "");
  return { ...outcome, details: { ...outcome.details, field: field.toLowerCase() } };
}

async function run({ calls }: ConformanceCase, how: string, make: Call): Promise<void> {
  const saved = new Map<string, unknown>();
  for (const [i, { call, args, result, save = {}, error, skip = [] }] of calls.entries()) {
    if (skip.includes(how)) continue;
    const outcome = await outcomeOf(make(call, expand(args, saved) as Record<string, unknown>));
    const where = `call ${i}, ${call}`;
    if (error) {
      expect({ where, ...named(outcome) }).toMatchObject({
        where,
        ...named({ code: error.code, details: expand(error.details ?? {}, saved) as object }),
      });
      continue;
    }
    if (!("result" in outcome)) expect.unreachable(`${where}: ${JSON.stringify(outcome)}`);
    const got = outcome.result;
    if (result !== undefined)
      expect([where, difference(call, expand(result, saved), got)]).toEqual([where, undefined]);
    for (const [name, path] of Object.entries(save)) saved.set(name, at(got, path));
  }
}

describe.each([
  [
    "the TypeScript client",
    "typescript",
    (tenant: string): Call => {
      const cortex = s.client({ tenantId: tenant, exactNumbers: true, agentId: "owner" });
      return (call, args) => callClient(cortex, call, args);
    },
  ],
  [
    "raw gRPC",
    "raw",
    (tenant: string): Call =>
      (call, args) =>
        callRaw(raw, tenant, call, args),
  ],
] as const)("%s", (_, how, callerOf) => {
  it.each(cases.map((one) => [`${one.file}: ${one.name}`, one] as const))("%s", async (_, one) => {
    await run(one, how, callerOf(`conformance-${how}-${tenants++}`));
  });
});

// Exports: streams of lines of JSON.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Scopes } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import type { Users } from "../../gen/cortex/users/v1/users_pb.js";
import type { CallOptions } from "./call-options.js";
import { CortexError } from "./error.js";
import type { Transport } from "./transport.js";

type Export = typeof Users.method.export | typeof Scopes.method.export;

/** The lines of an export. One that breaks after its first line fails: the lines after the break are not known. */
export async function* exportedLines<M extends Export>(
  transport: Transport,
  method: M,
  request: MessageInitShape<M["input"]>,
  options: CallOptions,
): AsyncGenerator<string, void, undefined> {
  let begun = false;
  const once = () => {
    if (begun) throw new CortexError("UNKNOWN", "the export was cut off: begin it again");
    return request;
  };
  for await (const { lines } of transport.messages<M["input"], M["output"]>(method, once, options))
    for (const line of lines) {
      begun = true;
      yield line;
    }
}

// The names of attributes, by the semantic conventions of OpenTelemetry. Those of RPC and of databases have changed once:
// OTEL_SEMCONV_STABILITY_OPT_IN says which are used, as for every instrumentation (`rpc`, `rpc/dup`, `database`,
// `database/dup`; default: the former ones).
import type { Attributes } from "@opentelemetry/api";
import { ATTR_DB_SYSTEM_NAME, ATTR_ERROR_TYPE } from "@opentelemetry/semantic-conventions";
import {
  ATTR_DB_SYSTEM,
  ATTR_RPC_GRPC_STATUS_CODE,
  ATTR_RPC_METHOD,
  ATTR_RPC_RESPONSE_STATUS_CODE,
  ATTR_RPC_SERVICE,
  ATTR_RPC_SYSTEM,
  ATTR_RPC_SYSTEM_NAME,
} from "@opentelemetry/semantic-conventions/incubating";

/** Which conventions are used. */
interface Choice {
  current: boolean;
  former: boolean;
}

function choiceOf(category: "rpc" | "database", optIn: string): Choice {
  const given = new Set(optIn.split(",").map((one) => one.trim()));
  const both = given.has(`${category}/dup`);
  const current = both || given.has(category);
  return { current, former: both || !current };
}

export class Conventions {
  readonly rpc: Choice;
  readonly #database: Attributes;

  constructor(optIn = "") {
    this.rpc = choiceOf("rpc", optIn);
    const { current, former } = choiceOf("database", optIn);
    this.#database = {
      ...(current && { [ATTR_DB_SYSTEM_NAME]: "postgresql" }),
      ...(former && { [ATTR_DB_SYSTEM]: "postgresql" }),
    };
  }

  /** The attributes of a statement. */
  get database(): Attributes {
    return this.#database;
  }

  /** The attributes of a call, by the current conventions. */
  call(rpc: string): Attributes {
    return { [ATTR_RPC_SYSTEM_NAME]: "grpc", [ATTR_RPC_METHOD]: rpc };
  }

  /** The attributes of the end of a call, by the current conventions. */
  end(status: { name: string; code: number }, reason: string | undefined): Attributes {
    return {
      [ATTR_RPC_RESPONSE_STATUS_CODE]: status.name,
      ...(reason !== undefined && { [ATTR_ERROR_TYPE]: reason }),
    };
  }

  /** The attributes of a call, by the former conventions. */
  formerCall(rpc: string): Attributes {
    const [service = "", method = ""] = rpc.split("/");
    return {
      [ATTR_RPC_SYSTEM]: "grpc",
      [ATTR_RPC_SERVICE]: service,
      [ATTR_RPC_METHOD]: method,
    };
  }

  formerEnd(status: { name: string; code: number }, reason: string | undefined): Attributes {
    return {
      [ATTR_RPC_GRPC_STATUS_CODE]: status.code,
      ...(reason !== undefined && { [ATTR_ERROR_TYPE]: reason }),
    };
  }
}

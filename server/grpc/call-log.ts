// The line that a call leaves in the log: who did what, and how it ended. Names, never values.
import type { Logger } from "pino";
import type { Endpoint } from "../auth/authorize.js";
import type { Config } from "../config/config.js";
import type { CortexError } from "../errors/reasons.js";
import type { RefusedCalls } from "./refused-calls.js";

interface LoggedCall {
  endpoint: Endpoint;
  context: { config: Config; log: Logger; refusedCalls: RefusedCalls };
  grpc: { getPeer(): string };
  tenant: string;
  principal: string | undefined;
  agent: string | undefined;
  requestId: string | undefined;
  dryRun: boolean;
  startedAt: number;
}

export function logCall(call: LoggedCall, error: CortexError | undefined): void {
  const { config, log } = call.context;
  if (error?.reason === "DATABASE_ERROR")
    log.error({ err: error.cause, error_id: error.details.error_id }, "an unexpected failure");
  const isLogged = isAudited(config, call.endpoint, error);
  if (error && isAccessRefused(error))
    call.context.refusedCalls.beyondCredentials(
      call.grpc.getPeer(),
      isLogged && lineOf(call, error),
    );
  else if (isLogged) log.info(lineOf(call, error), "audit");
  else if (log.isLevelEnabled("debug")) log.debug(lineOf(call, error), "call");
}

function lineOf(call: LoggedCall, error: CortexError | undefined) {
  return {
    rpc: call.endpoint.name,
    tenant: call.tenant,
    principal: call.principal,
    agent: call.agent,
    request_id: call.requestId,
    dry_run: call.dryRun || undefined,
    outcome: error?.reason ?? "OK",
    ...(error &&
      isAccessRefused(error) && { problem: error.details.problem, peer: call.grpc.getPeer() }),
    ms: Math.round((performance.now() - call.startedAt) * 10) / 10,
  };
}

/** True if `--audit-log` asks for a line of this call, whatever the log level. */
function isAudited(
  { auditLog }: Config,
  { permissions }: Endpoint,
  error: CortexError | undefined,
): boolean {
  switch (auditLog) {
    case "none":
      return false;
    case "all":
      return true;
    case "writes":
      if (permissions.includes("write")) return true;
  }
  return (
    (error && isAccessRefused(error)) ||
    permissions.some((permission) => permission === "purge" || permission === "admin")
  );
}

export const isAccessRefused = ({ reason }: CortexError): boolean =>
  reason === "UNAUTHENTICATED" || reason === "PERMISSION_DENIED";

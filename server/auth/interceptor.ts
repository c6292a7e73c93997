// Checks the credentials of a call as soon as its headers are there: a call without valid ones is refused
// before any byte of its message is read.
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import { CortexError } from "../errors/reasons.js";
import { unexpected } from "../errors/sqlstate.js";
import { toStatus } from "../errors/status.js";
import type { Authenticator } from "./authenticate.js";
import type { Credentials } from "./credentials.js";

const checked = new WeakMap<Metadata, Credentials>();

/** The credentials that the interceptor found in the headers of a call. */
export const credentialsOfCall = (metadata: Metadata): Credentials | undefined =>
  checked.get(metadata);

/** True for health and reflection, which need no credentials. */
export const isPublic = (path: string): boolean => !path.startsWith("/cortex.");

export const authInterceptor =
  (
    authenticator: Authenticator,
    refusedCalls: { unauthenticated(path: string, error: CortexError, peer: string): void },
  ): ServerInterceptor =>
  ({ path }, call) => {
    if (isPublic(path)) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, pass) {
            const admit = (credentials: Credentials) => {
              checked.set(metadata, credentials);
              pass(metadata);
            };
            const refuse = (error: unknown) => {
              const reason = error instanceof CortexError ? error : unexpected(error);
              refusedCalls.unauthenticated(path, reason, call.getPeer());
              call.sendStatus(toStatus(reason));
            };
            try {
              const getAuthContext = () => call.getAuthContext();
              const credentials = authenticator.authenticate({ metadata, getAuthContext });
              if (credentials instanceof Promise) credentials.then(admit, refuse);
              else admit(credentials);
            } catch (error) {
              refuse(error);
            }
          },
        }),
    });
  };

// Where credentials are asked for, they are looked at as soon as the headers of a call are there: who has none is refused before anything of
// the message is taken in.
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import { CortexError, toStatus, unforeseen } from "../errors/reasons.js";
import type { Authenticator } from "./authenticate.js";
import type { Credentials } from "./credentials.js";

const known = new WeakMap<Metadata, Credentials>();

/** The credentials that were seen with a call's headers. */
export const credentialsOfCall = (metadata: Metadata): Credentials | undefined =>
  known.get(metadata);

const ours = /^\/cortex\./;

export const authInterceptor =
  (
    authenticator: Authenticator,
    refused: (path: string, error: CortexError, peer: string) => void,
  ): ServerInterceptor =>
  ({ path }, call) => {
    if (!ours.test(path)) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, pass) {
            const admit = (credentials: Credentials) => {
              known.set(metadata, credentials);
              pass(metadata);
            };
            const refuse = (error: unknown) => {
              const reason = error instanceof CortexError ? error : unforeseen(error);
              refused(path, reason, call.getPeer());
              call.sendStatus(toStatus(reason));
            };
            try {
              const getAuthContext = () => call.getAuthContext();
              const credentials = authenticator.of({ metadata, getAuthContext });
              if (credentials instanceof Promise) credentials.then(admit, refuse);
              else admit(credentials);
            } catch (error) {
              refuse(error);
            }
          },
        }),
    });
  };

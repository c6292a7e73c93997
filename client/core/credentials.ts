// The credentials of the client, and how it verifies the server.
import { type ChannelCredentials, credentials, type Interceptor } from "@grpc/grpc-js";
import { CortexError, messageOf } from "./error.js";
import { header } from "./validate.js";

/** A key or token, or a function that returns the current one. */
export type Token = string | (() => string | Promise<string>);

export interface TlsOptions {
  /** PEM certificates of the authorities that sign server certificates. Default: those that Node trusts. */
  ca?: string | Buffer | undefined;
  /** The client's own certificate chain and its key (PEM), for a server that asks for them. */
  cert?: string | Buffer | undefined;
  key?: string | Buffer | undefined;
  /** The name that the server's certificate must be for. Default: the host of the address. */
  serverName?: string | undefined;
}

/** What traces the calls of a client: see `cortex-store/opentelemetry`. */
export interface ClientTelemetry {
  /** Sees every call, and every repeat of one, on its way. */
  readonly interceptor: Interceptor;
}

/** The credentials of the client, and what else is of its connection. */
export interface Security {
  tls?: boolean | TlsOptions | undefined;
  token?: Token | undefined;
  /** See every call on its way. */
  interceptors?: readonly Interceptor[] | undefined;
}

export function channelOf(tls: boolean | TlsOptions | undefined): ChannelCredentials {
  if (!tls) return credentials.createInsecure();
  const { ca, cert, key } = tls === true ? {} : tls;
  const bytes = (pem: string | Buffer | undefined) => (pem === undefined ? null : Buffer.from(pem));
  try {
    return credentials.createSsl(bytes(ca), bytes(key), bytes(cert));
  } catch (error) {
    const doNotMatch = (error as { code?: unknown }).code === "ERR_OSSL_X509_KEY_VALUES_MISMATCH";
    const [field, problem] = doNotMatch
      ? ["tls.key", "is not the key of tls.cert"]
      : ["tls", `cannot be used: ${messageOf(error)}`];
    const details = { field, problem };
    throw new CortexError("INVALID_CONFIG", `${field} ${problem}`, details, { cause: error });
  }
}

/** The current token. */
export async function tokenOf(token: Token): Promise<string> {
  if (typeof token === "string") return token;
  let given: string;
  try {
    given = await token();
  } catch (error) {
    const message = `the token function failed: ${messageOf(error)}`;
    throw new CortexError("UNAUTHENTICATED", message, { problem: "no token" }, { cause: error });
  }
  if (given === undefined || given === "")
    throw new CortexError("UNAUTHENTICATED", "the token is empty", { problem: "no token" });
  return header("token", given);
}

// Finds out why TLS keeps a client from its server: it makes a handshake of its own, and reads how that ends.
// gRPC itself reports only that a connection failed, and tries again until the deadline.
import { isIP } from "node:net";
import { connect, type PeerCertificate } from "node:tls";
import { placeOf } from "./address.js";
import type { TlsOptions } from "./credentials.js";

const handshakeMs = 1000;

/**
 * One sentence about what is wrong with TLS between this client and the server at the address; undefined if
 * that is not why there is no connection.
 */
export async function tlsProblem(
  address: string,
  tls: boolean | TlsOptions | undefined,
): Promise<string | undefined> {
  const place = placeOf(address);
  if (!place) return undefined;
  const options = typeof tls === "object" ? tls : {};
  const { certificate, refusal, error, closed } = await handshake(place, options);
  if (!tls)
    return certificate || isAlert(error)
      ? "the server speaks TLS, and the client does not: set tls"
      : undefined;
  if (certificate && refusal)
    return certificateProblem(refusal, certificate, options.serverName ?? place.host);
  if (isAlert(error)) return alertProblem(codeOf(error), options);
  if (/^(ERR_SSL|EPROTO)/.test(codeOf(error)))
    return "the server does not speak TLS, and the client does: leave tls out";
  if (certificate && closed && options.cert !== undefined)
    return "the server closes the connection after the handshake: it does not accept the client's certificate (tls.cert)";
  return undefined;
}

interface Handshake {
  /** The server's certificate, if the handshake succeeded. */
  certificate?: PeerCertificate;
  /** Why the client does not accept that certificate, as a code. */
  refusal?: string;
  error?: Error;
  /** The server closed the connection before it sent anything. */
  closed?: boolean;
}

/** Makes a TLS handshake, and waits for the first bytes of the server, which every HTTP/2 server sends. */
function handshake(
  { host, port }: { host: string; port: number },
  options: TlsOptions,
): Promise<Handshake> {
  const { ca, cert, key, serverName = host } = options;
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port,
      ca,
      cert,
      key,
      ...(isIP(serverName) === 0 && { servername: serverName }),
      ALPNProtocols: ["h2"],
      // The certificate is verified all the same. It is looked at here, and nothing is sent to the server.
      rejectUnauthorized: false,
    });
    let secured: Handshake = {};
    const end = (outcome: Handshake) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ ...secured, ...outcome });
    };
    const timer = setTimeout(() => end({}), handshakeMs);
    socket.once("secureConnect", () => {
      const refused = socket.authorizationError;
      secured = {
        certificate: socket.getPeerCertificate(),
        ...(refused && { refusal: codeOf(refused) }),
      };
      if (refused) end({});
    });
    socket.once("data", () => end({}));
    socket.once("error", (error) => end({ error }));
    socket.once("close", () => end({ closed: true }));
  });
}

function codeOf(error: unknown): string {
  const { code = error } = (error ?? {}) as { code?: unknown };
  return String(code);
}

/** True for an error by which the server refused the handshake. */
const isAlert = (error: Error | undefined) => /ALERT/.test(codeOf(error));

function certificateProblem(code: string, certificate: PeerCertificate, expected: string): string {
  const name = JSON.stringify(certificate.subject?.CN ?? "");
  switch (code) {
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `the server's certificate is for ${certificate.subjectaltname ?? name}, and not for ${expected}: use one of these names in the address, or set tls.serverName`;
    case "CERT_HAS_EXPIRED":
      return `the server's certificate for ${name} expired at ${certificate.valid_to}`;
    case "CERT_NOT_YET_VALID":
      return `the server's certificate for ${name} is not valid before ${certificate.valid_from}`;
    default: {
      const issuer = JSON.stringify(certificate.issuer?.CN ?? "");
      return `the client does not trust the authority ${issuer} that signed the server's certificate (${code}): set tls.ca to its certificate`;
    }
  }
}

function alertProblem(code: string, { cert }: TlsOptions): string {
  if (cert === undefined)
    return "the server asks for a certificate of the client: set tls.cert and tls.key";
  return `the server does not accept the client's certificate (tls.cert): ${code}`;
}

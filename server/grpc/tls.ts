// TLS, and mutual TLS where a CA for clients is given. Certificates are read again when their files change:
// open connections stay, new connections get the new certificate.
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { experimental, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Config } from "../config/config.js";
import { watchFiles } from "../config/watched-files.js";

interface Files {
  certificate: Buffer;
  privateKey: Buffer;
  caCertificate: Buffer | undefined;
}

interface Transport {
  credentials: ServerCredentials;
  stop(): void;
}

/** Throws one sentence if the files cannot be used together. */
function check({ certificate, privateKey, caCertificate }: Files): void {
  const first = certificateIn(certificate);
  if (!first) throw new Error("the file of --tls-cert holds no certificate (PEM)");
  let key: KeyObject;
  try {
    key = createPrivateKey(privateKey);
  } catch {
    throw new Error("the file of --tls-key holds no private key (PEM, without a passphrase)");
  }
  if (!first.checkPrivateKey(key))
    throw new Error("the key of --tls-key is not that of the certificate of --tls-cert");
  if (caCertificate && !certificateIn(caCertificate))
    throw new Error("the file of --tls-client-ca holds no certificate (PEM)");
  createSecureContext({ cert: certificate, key: privateKey, ca: caCertificate });
}

function certificateIn(pem: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

export async function transport(
  { tlsCert, tlsKey, tlsClientCa }: Config,
  log: Logger,
): Promise<Transport> {
  if (!tlsCert || !tlsKey)
    return { credentials: ServerCredentials.createInsecure(), stop: () => {} };
  const read = async (): Promise<Files> => {
    const [certificate, privateKey] = await Promise.all([readFile(tlsCert), readFile(tlsKey)]);
    const caCertificate = tlsClientCa ? await readFile(tlsClientCa) : undefined;
    check({ certificate, privateKey, caCertificate });
    return { certificate, privateKey, caCertificate };
  };
  const listeners = new Map<unknown, (files: Files) => void>();
  const paths = [tlsCert, tlsKey, ...(tlsClientCa ? [tlsClientCa] : [])];
  const files = await watchFiles(paths, "the certificates", read, log, (changed) => {
    for (const tell of listeners.values()) tell(changed);
  });
  const add = (listener: unknown, tell: (files: Files) => void) => {
    listeners.set(listener, tell);
    queueMicrotask(() => tell(files.current)); // at this moment grpc-js does not listen yet
  };
  const remove = (listener: unknown) => {
    listeners.delete(listener);
  };
  const provider: experimental.CertificateProvider = {
    addIdentityCertificateListener: (listener) =>
      add(listener, ({ certificate, privateKey }) => listener({ certificate, privateKey })),
    removeIdentityCertificateListener: remove,
    addCaCertificateListener: (listener) =>
      add(listener, ({ caCertificate }) => listener(caCertificate ? { caCertificate } : null)),
    removeCaCertificateListener: remove,
  };
  return {
    credentials: experimental.createCertificateProviderServerCredentials(
      provider,
      tlsClientCa ? provider : null,
      true,
    ),
    stop: () => files.stop(),
  };
}

// TLS, and mutual TLS where a CA for clients is given. Certificates are read again when their files change:
// open connections stay, new connections get the new certificate.
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

export async function transport(
  { tlsCert, tlsKey, tlsClientCa }: Config,
  log: Logger,
): Promise<Transport> {
  if (!tlsCert || !tlsKey)
    return { credentials: ServerCredentials.createInsecure(), stop: () => {} };
  const read = async (): Promise<Files> => {
    const [certificate, privateKey] = await Promise.all([readFile(tlsCert), readFile(tlsKey)]);
    const caCertificate = tlsClientCa ? await readFile(tlsClientCa) : undefined;
    // Throws if the certificate and the key do not belong together.
    createSecureContext({ cert: certificate, key: privateKey, ca: caCertificate });
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

// Tests TLS, mutual TLS, and the replacement of certificates while calls go on.
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { certificate, certificatePath, replaceFile } from "../support/credentials.js";
import { temporaryDirectory } from "../support/directory.js";
import { runServer } from "../support/process.js";
import { serve } from "../support/server.js";

const s = serve();
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let ca: Buffer;
beforeAll(async () => {
  directory = await temporaryDirectory();
  ca = await certificate("ca.crt");
});
afterAll(() => directory.remove());

const served = (name = "server-1") => ({
  tlsCert: certificatePath(`${name}.crt`),
  tlsKey: certificatePath(`${name}.key`),
});

/** The serial number of the certificate that a new connection gets. */
function serial(address: string): Promise<string> {
  const [host, port] = address.split(":");
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), ca, ALPNProtocols: ["h2"] }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

it("a client that trusts the authority gets through", async () => {
  const { address } = await s.another(served());
  const cortex = s.client({ address, tls: { ca } });
  await cortex.mutable.set("tls", "k", 1);
  expect(await s.client({ address, tls: { ca: ca.toString() } }).mutable.get("tls", "k")).toBe(1);
  const named = s.client({ address, tls: { ca, serverName: "localhost" } });
  expect(await named.mutable.get("tls", "k")).toBe(1);
});

it("if callers must have a certificate, only those with one of the authority get through, as the principal that it names", async () => {
  const { address } = await s.another({
    ...served(),
    tlsClientCa: certificatePath("ca.crt"),
    insecure: false,
  });
  const clientTls = async (name: string) => ({
    ca,
    cert: await certificate(`${name}.crt`),
    key: await certificate(`${name}.key`),
  });
  const agent = s.client({ address, tls: await clientTls("client") });
  expect(await agent.mutable.set("mtls", "k", 1)).toMatchObject({ principal: "agent-7" });
  for (const [tls, problem] of [
    [{ ca }, "the server asks for a certificate of the client: set tls.cert and tls.key"],
    [await clientTls("impostor"), "it does not accept the client's certificate (tls.cert)"],
  ] as const)
    await expect(s.client({ address, tls }).mutable.get("mtls", "k")).rejects.toThrow(problem);
});

describe("a mistake in TLS is told in one line, and not only at the deadline", () => {
  let served1: string;
  beforeAll(async () => {
    served1 = (await s.another(served())).address;
  });
  const timeoutMs = 600_000;

  it.each([
    ["an authority that the client does not trust", true, 'does not trust the authority "ca"'],
    [
      "a certificate that signed nothing",
      { ca: "server-2.crt" },
      'does not trust the authority "ca"',
    ],
    [
      "another name",
      { ca: "ca.crt", serverName: "stranger.example" },
      "the server's certificate is for DNS:localhost, IP Address:127.0.0.1, and not for stranger.example",
    ],
    ["no TLS", false, "the server speaks TLS, and the client does not: set tls"],
  ])("%s", async (_, given, problem) => {
    const tls = typeof given === "object" ? { ...given, ca: await certificate(given.ca) } : given;
    const { mutable } = s.client({ address: served1, tls, timeoutMs });
    for (const call of [
      () => mutable.get("tls", "k"),
      () => mutable.set("tls", "k", 1),
      () => mutable.update("tls", "k", () => 1),
      () => mutable.transaction((tx) => tx.set("tls", "k", 1)),
      () => mutable.list("tls"),
      () => mutable.scan("tls").next(),
    ]) {
      const error = await call().catch((error: unknown) => error);
      expect(error).toMatchObject({
        code: "UNAVAILABLE",
        retryable: false,
        details: { address: served1, applied: "no", tls: expect.stringContaining(problem) },
      });
      expect((error as Error).message).toMatch(/^no server can be reached at \S+: .*$/);
    }
  });

  it("TLS where the server has none", async () => {
    await expect(
      s.client({ address: s.address, tls: { ca }, timeoutMs }).mutable.get("tls", "k"),
    ).rejects.toThrow("the server does not speak TLS, and the client does: leave tls out");
  });

  it("a key that is not the key of the certificate", async () => {
    const [cert, key] = [await certificate("client.crt"), await certificate("impostor.key")];
    expect(() => s.client({ tls: { ca, cert, key } })).toThrow(
      "tls.key is not the key of tls.cert",
    );
    try {
      s.client({ tls: { ca: "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----" } });
    } catch (error) {
      expect(error).toMatchObject({ code: "INVALID_CONFIG", details: { field: "tls" } });
    }
  });
});

it("certificates are replaced under load without a call that fails; a pair that does not fit changes nothing", async () => {
  const [tlsCert, tlsKey] = ["tls.crt", "tls.key"].map((name) => join(directory.path, name)) as [
    string,
    string,
  ];
  await copyFile(served().tlsCert, tlsCert);
  await copyFile(served().tlsKey, tlsKey);
  const { address } = await s.another({ tlsCert, tlsKey });
  const first = await serial(address);
  let stop = false;
  let calls = 0;
  const load = Array.from({ length: 4 }, async (_, i) => {
    const kept = s.client({ address, tls: { ca } }); // keeps one connection
    while (!stop) {
      await kept.mutable.increment("tls", `kept-${i}`, 1, { createIfMissing: true });
      await using fresh = s.client({ address, tls: { ca } }); // opens a new connection each time
      await fresh.mutable.get("tls", "k");
      calls++;
    }
  });
  // For a while the key does not belong to the certificate.
  await replaceFile(tlsKey, await certificate("server-2.key"));
  await pause(1200);
  expect(await serial(address)).toBe(first);
  await replaceFile(tlsCert, await certificate("server-2.crt"));
  while ((await serial(address)) === first) await pause(50);
  stop = true;
  await Promise.all(load);
  expect(calls).toBeGreaterThan(10);
});

it("the health check of containers works over TLS, also where callers must have a certificate", async () => {
  for (const more of [{}, { tlsClientCa: certificatePath("ca.crt") }]) {
    const { address } = await s.another({ ...served(), ...more });
    const { tlsCert, tlsKey } = served();
    const env = { CORTEX_LISTEN: address, CORTEX_TLS_CERT: tlsCert, CORTEX_TLS_KEY: tlsKey };
    expect(await runServer(["health"], env)).toEqual({
      code: 0,
      out: `SERVING ${address}\n`,
      err: "",
    });
  }
});

it("certificates and key files that cannot be used are named at the start, in one sentence", async () => {
  for (const [settings, problem] of [
    [
      { ...served(), tlsKey: certificatePath("server-2.key") },
      "the key of --tls-key is not that of the certificate of --tls-cert",
    ],
    [{ ...served(), tlsCert: certificatePath("ca.key") }, "no such file"],
    [
      { ...served(), tlsCert: certificatePath("server-1.key") },
      "the file of --tls-cert holds no certificate",
    ],
    [
      { ...served(), tlsKey: certificatePath("server-1.crt") },
      "the file of --tls-key holds no private key",
    ],
    [
      { ...served(), tlsClientCa: certificatePath("make.sh") },
      "the file of --tls-client-ca holds no certificate",
    ],
    [{ ...served(), tlsCert: "/no/such/file" }, "no such file"],
    [{ auth: "keys", authKeysFile: certificatePath("ca.crt") }, "it is not JSON"],
  ] as const)
    await expect(s.another(settings)).rejects.toThrow(problem);
});

// Tests TLS, mutual TLS, and the replacement of certificates while calls go on.
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "node:tls";
import { afterAll, beforeAll, expect, it } from "vitest";
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

it("a client that trusts the authority gets through; one that does not, or speaks no TLS, does not", async () => {
  const { address } = await s.another(served());
  const quick = { address, timeoutMs: 1500 };
  const cortex = s.client({ address, tls: { ca } });
  await cortex.mutable.set("tls", "k", 1);
  expect(await s.client({ address, tls: { ca: ca.toString() } }).mutable.get("tls", "k")).toBe(1);
  for (const tls of [
    true,
    false,
    { ca: await certificate("server-2.crt") },
    { ca, serverName: "stranger.example" },
  ])
    await expect(s.client({ ...quick, tls }).mutable.get("tls", "k")).toFailWith("UNAVAILABLE");
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
  for (const tls of [{ ca }, await clientTls("impostor")])
    await expect(s.client({ address, tls, timeoutMs: 1500 }).mutable.get("mtls", "k")).toFailWith(
      "UNAVAILABLE",
    );
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
    [{ ...served(), tlsKey: certificatePath("server-2.key") }, "the certificates in"],
    [{ ...served(), tlsCert: "/no/such/file" }, "no such file"],
    [{ auth: "keys", authKeysFile: certificatePath("ca.crt") }, "it is not JSON"],
  ] as const)
    await expect(s.another(settings)).rejects.toThrow(problem);
});

// Tests settings: flags, environment variables, help, and one sentence for each error.
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, inject, it } from "vitest";
import {
  defaults,
  environmentOf,
  parseConfig,
  settingsTable,
  UsageError,
  unknownVariables,
} from "../../server/config/config.js";
import { settings } from "../../server/config/settings.js";
import { root, runServer } from "../support/process.js";

const parse = (argv: string[], env: NodeJS.ProcessEnv = {}) => parseConfig(argv, env, "0.0.0");

describe("a setting", () => {
  it("has a default; its environment variable overrides the default, and its flag overrides both", () => {
    expect(parse([])).toEqual(defaults);
    expect(defaults).toMatchObject({
      listen: "127.0.0.1:50051",
      dataDir: ".cortex",
      allowPurgeAll: false,
      poolSize: 10,
    });
    const env = {
      CORTEX_LISTEN: "127.0.0.1:1",
      DATABASE_URL: "postgres://u@h/d",
      CORTEX_ALLOW_PURGE_ALL: "true",
      CORTEX_WORKERS: "",
    };
    expect(parse([], env)).toMatchObject({
      listen: "127.0.0.1:1",
      databaseUrl: "postgres://u@h/d",
      allowPurgeAll: true,
      workers: 1,
    });
    expect(parse(["--listen", "[::1]:2", "--allow-purge-all", "false"], env)).toMatchObject({
      listen: "[::1]:2",
      allowPurgeAll: false,
    });
    expect(parse(["--allow-purge-all"])).toMatchObject({ allowPurgeAll: true });
  });

  it.each([
    [["--listen", "nowhere"], "--listen takes HOST:PORT"],
    [["--listen", "127.0.0.1:70000"], "--listen takes HOST:PORT"],
    [["--database-url", "mysql://x"], "--database-url takes a URL such as postgres://"],
    [["--pool-size", "0"], "--pool-size takes a whole number from 1 to 1000"],
    [["--pool-size", "1001"], "--pool-size takes a whole number from 1 to 1000"],
    [["--resets-max", "1001"], "--resets-max takes a whole number from 1 to 1000"],
    [["--resets-per-address-max", "-1"], "--resets-per-address-max takes a whole number"],
    [["--keep-out-seconds", "0"], "--keep-out-seconds takes a number of seconds from 0.1"],
    [["--workers", "two"], "--workers takes a whole number"],
    [["--drain-seconds", "-1"], "--drain-seconds takes a number of seconds"],
    [["--log-level", "loud"], "--log-level takes one of trace, debug"],
    [["--allow-purge-all", "maybe"], "--allow-purge-all takes one of true, false"],
    [["--value-bytes-max", "3000000"], "is more than half of --message-bytes-max"],
    [["--data-dir"], "--data-dir"],
    [["--auth", "password"], "--auth takes one of none, keys, jwt"],
    [["--auth", "keys"], "--auth keys needs --auth-keys-file"],
    [["--auth-keys-file", "k"], "--auth-keys-file means nothing without --auth keys"],
    [["--auth", "jwt", "--jwt-issuer", "i"], "--auth jwt needs --jwt-audience"],
    [["--auth", "jwt"], "--auth jwt needs --jwt-issuer"],
    [["--auth", "jwt", "--jwt-issuer", "i", "--jwt-audience", "a"], "needs one of --jwt-secret"],
    [["--rate-burst", "5"], "--rate-burst means nothing without --rate-per-second"],
    [["--jwt-audience", "a"], "means nothing without --auth jwt"],
    [["--jwt-jwks-url", "ftp://x"], "--jwt-jwks-url takes a URL"],
    [["--jwt-jwks-url", "https://u:secret@h/k"], "without a user and password"],
    [["--tls-cert", "c"], "--tls-cert needs --tls-key"],
    [["--tls-client-ca", "c"], "--tls-client-ca needs --tls-cert"],
    [
      ["--listen", "0.0.0.0:1"],
      "choose --auth keys, --auth jwt or --tls-client-ca (docs/security.md), or --insecure",
    ],
    [["--listen", "[::]:1"], "can be reached from other machines"],
    [["--listen", "127.0.0.1.example.org:1"], "can be reached from other machines"],
    [["--queue-max", "0"], "--queue-max takes a whole number from 1"],
    [
      ["--metrics", "127.0.0.1:65535", "--workers", "2"],
      "--metrics 127.0.0.1:65535 leaves no ports for --workers 2",
    ],
    [["--quota-keys", "-1"], "--quota-keys takes a whole number from 0"],
    [["--retention", "20"], '--retention takes JSON such as {"defaultVersions":20'],
    [["--retention", "{"], "(it is not JSON)"],
    [["--retention", '{"default":1}'], '(it has no "default")'],
    [
      ["--retention", '{"defaultVersions":0}'],
      "(defaultVersions is neither a whole number from 1 nor -1)",
    ],
    [["--retention", '{"defaultVersions":1.5}'], "(defaultVersions is neither"],
    [["--retention", '{"defaultVersions":-2}'], "(defaultVersions is neither"],
    [["--retention", '{"byType":[]}'], "(byType is not an object)"],
    [["--retention", '{"byType":{"a":"5"}}'], '(byType "a" is neither'],
    [["--retention", '{"byType":{"a":{}}}'], '(byType "a" is neither'],
    [["--retention", '{"byType":{"a":{"keep":5}}}'], '(byType "a" has no "keep")'],
    [
      ["--search-language", "English!"],
      "--search-language takes the name of a text search configuration",
    ],
    [["--no-such-flag"], "unknown option '--no-such-flag'"],
    [["serve"], 'there is no command "serve"'],
  ])("that is wrong fails with one sentence: %j", (argv, sentence) => {
    expect(() => parse(argv)).toThrow(UsageError);
    expect(() => parse(argv)).toThrow(sentence);
  });

  it("the retention is read in either spelling of the specification, and reaches the workers unchanged", () => {
    const text = '{"defaultVersions":7,"byType":{"policy":-1,"kb-article":{"versionsToKeep":50}}}';
    const { retention } = parse(["--retention", text]);
    expect([retention.defaultVersions, [...retention.byType]]).toEqual([
      7,
      [
        ["policy", -1],
        ["kb-article", 50],
      ],
    ]);
    const env = environmentOf(parse([], { CORTEX_RETENTION: text }));
    expect(parse([], env).retention).toEqual(retention);
    expect(parse(["--retention", "{}"]).retention).toEqual(defaults.retention);
  });

  it("names its environment variable where the wrong value comes from there", () => {
    expect(() => parse([], { CORTEX_POOL_SIZE: "many" })).toThrow(
      'CORTEX_POOL_SIZE takes a whole number from 1 to 1000, not "many"',
    );
  });

  it.each([
    [{ CORTEX_AUTH: "keys" }, "CORTEX_AUTH=keys needs --auth-keys-file"],
    [{ CORTEX_AUTH_KEYS_FILE: "k" }, "CORTEX_AUTH_KEYS_FILE means nothing without --auth keys"],
    [{ CORTEX_JWT_ISSUER: "i" }, "CORTEX_JWT_ISSUER means nothing without --auth jwt"],
    [{ CORTEX_RATE_BURST: "5" }, "CORTEX_RATE_BURST means nothing without --rate-per-second"],
    [{ CORTEX_TLS_KEY: "k" }, "CORTEX_TLS_KEY needs --tls-cert"],
    [{ CORTEX_LISTEN: "0.0.0.0:1" }, "CORTEX_LISTEN=0.0.0.0:1 can be reached from other machines"],
    [
      { CORTEX_VALUE_BYTES_MAX: "3000000" },
      "CORTEX_VALUE_BYTES_MAX=3000000 is more than half of --message-bytes-max 4194304",
    ],
  ])("that does not fit the others is named as it was set: %j", (env, sentence) => {
    expect(() => parse([], env)).toThrow(UsageError);
    expect(() => parse([], env)).toThrow(sentence);
  });

  it("that is misspelt is named with the nearest one", () => {
    expect(() => parse(["--pol-size", "5"])).toThrow(
      "unknown option '--pol-size' (Did you mean --pool-size?)",
    );
    const env = {
      CORTEX_POOL_SZIE: "5",
      CORTEX_XYZZY: "1",
      CORTEX_POOL_SIZE: "5",
      CORTEX_DATABASE_URL: "postgres://db/cortex",
      CORTEX_ADDRESS: "cortex:50051", // the client's
      CORTEX_TENANT: "acme",
      CORTEX_TOKEN: "secret",
      CORTEX_STORE_SERVICE_HOST: "10.0.0.1",
      CORTEX_PORT_50051_TCP_ADDR: "10.0.0.1",
    };
    expect(unknownVariables(env, "0.0.0")).toEqual([
      "the environment variable CORTEX_POOL_SZIE is no setting of this server (did you mean CORTEX_POOL_SIZE?)",
      "the environment variable CORTEX_XYZZY is no setting of this server",
      "the environment variable CORTEX_DATABASE_URL is no setting of this server (did you mean DATABASE_URL?)",
    ]);
  });

  it("that npm took for itself fails, and the error shows the right command", () => {
    const npm = { npm_lifecycle_event: "start" };
    expect(() => parse(["5"], { ...npm, npm_config_pool_size: "true" })).toThrow(
      "npm kept --pool-size for itself: write npm start -- --pool-size <n>",
    );
    expect(() => parse([], { npm_lifecycle_event: "dev", npm_config_insecure: "true" })).toThrow(
      "npm kept --insecure for itself: write npm run dev -- --insecure",
    );
    expect(parse([], { ...npm, npm_config_loglevel: "warn" })).toEqual(defaults);
  });

  it("allows an address that others can reach if callers must authenticate or the network is trusted", () => {
    const jwt = [
      "--auth",
      "jwt",
      "--jwt-issuer",
      "i",
      "--jwt-audience",
      "a",
      "--jwt-secret",
      "x".repeat(32),
    ];
    const certificates = ["--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a"];
    for (const how of [
      ["--insecure"],
      ["--auth", "keys", "--auth-keys-file", "k"],
      jwt,
      certificates,
    ])
      expect(parse(["--listen", "0.0.0.0:1", ...how]).listen).toBe("0.0.0.0:1");
    for (const listen of ["127.9.9.9:1", "localhost:1", "[::1]:1", "[0:0:0:0:0:0:0:1]:1"])
      expect(parse(["--listen", listen]).listen).toBe(listen);
  });

  it("never shows a password or a secret", () => {
    expect(() => parse(["--jwt-secret", "short-secret"])).toThrow(
      "at least 32 bytes, not what it was given",
    );
    expect(() => parse(["--jwt-jwks-url", "http://user:secret@h"])).toThrow(
      "without a user and password, not what it was given",
    );
    expect(() => parse([], { DATABASE_URL: "postgres//u:secret@h" })).not.toThrow("secret");
    expect(() => parse([], { DATABASE_URL: "postgres//u:secret@h" })).toThrow("DATABASE_URL");
  });
});

describe("the command", () => {
  it("exits 2 on a wrong flag, with one sentence on stderr", async () => {
    expect(await runServer(["--nope"])).toEqual({
      code: 2,
      out: "",
      err: "cortex-store: unknown option '--nope'\n",
    });
    const bad = await runServer([], { CORTEX_WORKERS: "0" });
    expect([bad.code, bad.out, bad.err.split("\n").length]).toEqual([2, "", 2]);
  });

  it("prints every setting with --help, and its version", async () => {
    const { code, out } = await runServer(["--help"]);
    expect(code).toBe(0);
    for (const { env } of Object.values(settings)) expect(out).toContain(env);
    expect((await runServer(["--version"])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("warns of an environment variable that is no setting", async () => {
    const { err } = await runServer(["--database-url", "postgres://u@127.0.0.1:1/d"], {
      CORTEX_DATABASE_WAIT_SECONDS: "0",
      CORTEX_POOLSIZE: "3",
    });
    expect(err).toContain(
      "CORTEX_POOLSIZE is no setting of this server (did you mean CORTEX_POOL_SIZE?)",
    );
  });

  it("says in one sentence that a certificate is missing, and logs nothing else", async () => {
    const missing = join(root, "no-such.pem");
    const { code, err } = await runServer(["--tls-cert", missing, "--tls-key", missing]);
    expect(code).toBe(1);
    expect(err).toMatch(/^cortex-store: the certificates in .* cannot be used: ENOENT.*\n$/);
  });

  it("says in one sentence that its address is taken", async () => {
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(0, "127.0.0.1", resolve));
    const listen = `127.0.0.1:${(squatter.address() as { port: number }).port}`;
    const taken = await runServer(["--database-url", inject("postgresUrl"), "--listen", listen]);
    expect(taken).toEqual({
      code: 1,
      out: "",
      err: `cortex-store: cannot listen on ${listen}: another program listens there: stop it, or give another --listen\n`,
    });
    squatter.close();
  });

  it("says in one sentence that the database does not know the search language, and which ones it knows", async () => {
    const { code, out, err } = await runServer([
      "--database-url",
      inject("postgresUrl"),
      "--search-language",
      "klingon",
    ]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(
      /^cortex-store: --search-language klingon is not known to the database, which has arabic, .*english, .*simple, .*\n$/,
    );
  });

  it("says in one sentence that its database does not answer", async () => {
    const url = "postgres://u:secret@127.0.0.1:1/d";
    const gone = await runServer(["--database-url", url, "--database-wait-seconds", "0"]);
    expect(gone).toEqual({
      code: 1,
      out: "",
      err: "cortex-store: no Postgres answers at 127.0.0.1:1 (ECONNREFUSED): check that it runs and listens there\n",
    });
  });

  it("has its settings documented: docs/settings.md is what `npm run settings` prints", async () => {
    expect(await readFile(join(root, "docs/settings.md"), "utf8")).toContain(settingsTable());
  });
});

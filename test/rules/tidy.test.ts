// Checks the rules of this repository. A failure names what to do instead.
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { type DescMessage, type DescService, ScalarType } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Reach } from "../../gen/cortex/options/v1/options_pb.js";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { reachOf } from "../../server/auth/authorize.js";
import { services } from "../../server/services.js";
import { temporaryDirectory } from "../support/directory.js";
import { root, run } from "../support/process.js";

async function sources(...directories: string[]): Promise<{ path: string; text: string }[]> {
  const found = [];
  for (const directory of directories)
    for (const entry of await readdir(join(root, directory), {
      recursive: true,
      withFileTypes: true,
    })) {
      const path = join(entry.parentPath, entry.name);
      if (
        entry.isFile() &&
        /\.(ts|sql|proto)$/.test(entry.name) &&
        !/\/(dist|node_modules)\//.test(path)
      )
        found.push({ path: relative(root, path), text: await readFile(path, "utf8") });
    }
  return found;
}

/** The places that match a pattern, as `file:line`. */
async function where(
  pattern: RegExp,
  directories: string[],
  except: string[] = [],
): Promise<string[]> {
  return (await sources(...directories))
    .filter(({ path }) => !except.includes(path))
    .flatMap(({ path, text }) =>
      text.split("\n").flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}`] : [])),
    );
}

/** The imports between the TypeScript files of a directory. */
async function importsIn(directory: string): Promise<Import[]> {
  return importsOf((await sources(directory)).filter(({ path }) => path.endsWith(".ts")));
}

interface Import {
  from: string;
  to: string;
}

const importsOf = (files: { path: string; text: string }[]): Import[] =>
  files.flatMap(({ path, text }) =>
    [...text.matchAll(/(?:from|import)\s*\(?"(\.[^"]+)"/g)].map(([, to = ""]) => ({
      from: path,
      to: relative(root, join(root, dirname(path), to)).replace(/\.js$/, ".ts"),
    })),
  );

// The order of rooms. A file may import its own room and the rooms of earlier lines. Rooms on one line must
// not import each other.
const serverRooms = [
  ["errors", "config"],
  ["validation", "telemetry"],
  ["postgres"],
  ["embedded", "search", "runtime", "auth", "feed"],
  ["grpc"],
  ["storage"],
  ["storage/changes", "storage/claims"],
  ["storage/versions", "storage/events"],
  ["storage/audit"],
  ["storage/entries", "storage/streams"],
  ["storage/users", "storage/transactions", "storage/scopes"],
  services.map(({ descriptor }) => roomOf(descriptor)),
  ["."], // the files directly in server/, such as main.ts and services.ts
];
const clientRooms = [
  ["core"],
  ["events", "immutable", "streams"],
  ["mutable", "users"],
  ["claims"],
  ["scopes"],
  ["store"],
  ["igniter", "opentelemetry", "patterns"],
  ["."],
];

/** The folder of a service's RPCs: `mutable` for cortex.mutable.v1.MutableStore. */
function roomOf(descriptor: DescService): string {
  return descriptor.typeName.split(".")[1] ?? "";
}

/** The imports from a later room, or from another room of the same line, as sentences. */
function upward(imports: Import[], base: string, rooms: string[][]): string[] {
  const names = rooms.flat().sort((a, b) => b.length - a.length); // the longest prefix is the room
  const roomOfFile = (path: string) => {
    const inside = relative(base, path);
    return names.find((room) => inside.startsWith(`${room}/`)) ?? ".";
  };
  const floor = (room: string) => rooms.findIndex((line) => line.includes(room));
  return imports.flatMap(({ from, to }) => {
    if (!to.startsWith(`${base}/`)) return [];
    const [room, target] = [roomOfFile(from), roomOfFile(to)];
    if (room === target || floor(target) < floor(room)) return [];
    const allowed = rooms.slice(0, floor(room)).flat().join(", ") || "no other room";
    return [`${from} imports ${to}: ${room}/ may import ${allowed}`];
  });
}

/** The import cycles, each as the list of its files. */
function circles(imports: Import[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { from, to } of imports) targets.set(from, [...(targets.get(from) ?? []), to]);
  const found = new Set<string>();
  const done = new Set<string>();
  const visit = (file: string, path: string[]) => {
    if (path.includes(file)) {
      found.add([...path.slice(path.indexOf(file)), file].join(" -> "));
      return;
    }
    if (done.has(file)) return;
    for (const target of targets.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of targets.keys()) visit(file, []);
  return [...found];
}

describe("imports run one way", () => {
  it("gen and wire import nothing but themselves; the client and the server these and themselves", async () => {
    for (const [room, allowed] of [
      ["gen", /^gen\//],
      ["wire", /^wire\//],
      ["client", /^(client|gen|wire)\//],
      ["server", /^(server|gen|wire)\//],
    ] as const)
      expect((await importsIn(room)).filter(({ to }) => !allowed.test(to))).toEqual([]);
  });

  it("from a room to an earlier one", async () => {
    expect(upward(await importsIn("server"), "server", serverRooms)).toEqual([]);
    expect(upward(await importsIn("client"), "client", clientRooms)).toEqual([]);
  });

  it("in no circle", async () => {
    expect(circles(await importsIn("server"))).toEqual([]);
    expect(circles(await importsIn("client"))).toEqual([]);
  });

  it("and the checks find planted imports", () => {
    const planted = importsOf([
      { path: "server/postgres/pool.ts", text: 'import { call } from "../grpc/call.js";' },
      { path: "server/users/get.ts", text: 'import { set } from "../mutable/set.js";' },
      { path: "server/grpc/call.ts", text: 'import { Pools } from "../postgres/pools.js";' },
      { path: "server/postgres/pools.ts", text: 'import { Pool } from "./pool.js";' },
    ]);
    expect(upward(planted, "server", serverRooms)).toEqual([
      "server/postgres/pool.ts imports server/grpc/call.ts: postgres/ may import errors, config, validation, telemetry",
      expect.stringMatching(
        /^server\/users\/get.ts imports server\/mutable\/set.ts: users\/ may import /,
      ),
    ]);
    expect(circles(planted)).toEqual([
      "server/postgres/pool.ts -> server/grpc/call.ts -> server/postgres/pools.ts -> server/postgres/pool.ts",
    ]);
  });
});

describe("the folder of a service", () => {
  const kebab = (name: string) => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`).slice(1);
  const rpcs = services.flatMap(({ descriptor }) =>
    descriptor.methods.map((method) => `${roomOf(descriptor)}/${kebab(method.name)}`),
  );

  it("holds one file for each RPC, named for it, and service.ts", async () => {
    const files = (
      await sources(...services.map(({ descriptor }) => `server/${roomOf(descriptor)}`))
    )
      .map(({ path }) => path.replace(/^server\/(.*)\.ts$/, "$1"))
      .sort();
    const entries = services.map(({ descriptor }) => `${roomOf(descriptor)}/service`);
    expect(files).toEqual([...rpcs, ...entries].sort());
  });

  it("has one test file for each RPC, named for it", async () => {
    const files = (await sources(...services.map(({ descriptor }) => `test/${roomOf(descriptor)}`)))
      .map(({ path }) => path.replace(/^test\/(.*)\.test\.ts$/, "$1"))
      .sort();
    expect(files).toEqual([...rpcs].sort());
  });
});

describe("what a request names is declared in the proto", () => {
  // Text fields that name no data by themselves: content, options, and parts of a name whose namespace or
  // type is declared.
  const namesNothing = new Set(
    [
      "key identifier keys key_prefix id id_prefix value_json metadata_json data_json profile_json patch_json",
      "amount query tags any_tags agent_id updated_by principal owner",
      "request_id page_token confirmation_token continue_token cursor",
      "group consumer ids from_id to_id before_id after_id reason",
    ].flatMap((line) => line.split(" ")),
  );

  /** The text fields of requests that have no `reach` option and are not in `namesNothing`. */
  const undeclared = (messages: readonly DescMessage[]): string[] => {
    const found = new Set<string>();
    const seen = new Set<DescMessage>();
    const walk = (message: DescMessage) => {
      if (seen.has(message)) return;
      seen.add(message);
      for (const field of message.fields) {
        const isText =
          (field.fieldKind === "scalar" ||
            (field.fieldKind === "list" && field.listKind === "scalar")) &&
          field.scalar === ScalarType.STRING;
        if (isText && reachOf(field) === Reach.UNSPECIFIED && !namesNothing.has(field.name))
          found.add(`${message.name}.${field.name} needs the option (cortex.options.v1.reach)`);
        if (field.message) walk(field.message);
      }
    };
    for (const message of messages) walk(message);
    return [...found];
  };

  it("on every field that names a namespace, a type or a user", () => {
    const inputs = services.flatMap(({ descriptor }) =>
      descriptor.methods.map(({ input }) => input),
    );
    expect(undeclared(inputs)).toEqual([]);
    // The `id` of a record is only part of a name, whose type is declared. The `id` of a user is the whole
    // name.
    const users = services.find(({ descriptor }) => descriptor.name === "Users");
    for (const { input } of users?.descriptor.methods ?? [])
      for (const field of input.fields)
        if (field.name === "id") expect(reachOf(field)).toBe(Reach.USER);
  });

  it("and the check finds a field without the option", () => {
    expect(undeclared([ErrorInfoSchema])).toEqual([
      "ErrorInfo.domain needs the option (cortex.options.v1.reach)",
    ]);
  });
});

describe("the code", () => {
  it("of the server logs through pino, not the console (main.ts prints the ready line and what is wrong)", async () => {
    expect(
      await where(
        /\bconsole\./,
        ["server"],
        [
          "server/serve.ts",
          "server/health.ts",
          "server/config/print-settings.ts",
          "server/search/print-unicode.ts",
        ],
      ),
    ).toEqual([]);
  });

  it("of the server takes time from the database, or performance.now() for durations (tokens expire by the clock)", async () => {
    expect(
      await where(
        /Date\.now\(|new Date\(\)/,
        ["server"],
        ["server/health.ts", "server/auth/tokens.ts"],
      ),
    ).toEqual([]);
  });

  it("builds no SQL from strings but from parameters and sql`…` fragments (except migrations, and column names of the code)", async () => {
    expect(
      await where(
        /\.unsafe\(/,
        ["server"],
        ["migrate.ts", "background-migrations.ts", "recordset.ts", "text.ts"].map(
          (name) => `server/postgres/${name}`,
        ),
      ),
    ).toEqual([]);
  });

  it("knows database errors by SQLSTATE, not by text: a code in sqlstate.ts", async () => {
    expect(
      await where(/\.message\.(includes|match|startsWith)|test\(.*\.message/, ["server", "client"]),
    ).toEqual([]);
  });

  it("leaves nothing for later and skips no test", async () => {
    const left = new RegExp(
      ["TO" + "DO", "FIX" + "ME", "XX" + "X", "\\.sk" + "ip\\(", "\\.on" + "ly\\("].join("|"),
    );
    expect(await where(left, ["server", "client", "test", "bench", "examples", "proto"])).toEqual(
      [],
    );
  });

  it("names the tenant in every statement that reads or writes the tables of tenants", async () => {
    const statements = (await sources("server"))
      .filter(({ path }) => path.endsWith(".ts"))
      .flatMap(({ path, text }) =>
        [
          ...text.matchAll(
            /\b(from|update|into|join) (mutable|users|mutable_access|immutable|immutable_version|request)\b/g,
          ),
        ].map(() => ({ path, text })),
      );
    expect(statements.length).toBeGreaterThan(10);
    const without = statements.filter(
      ({ text, path }) =>
        !/tenant|isEntry\(sql|isRecord\(sql|matches\(sql/.test(text) && !path.endsWith("sweep.ts"),
    );
    expect(without.map(({ path }) => path)).toEqual([]);
  });

  it("is small: no source file past 300 lines (the client's surface, mostly doc comments, past 700)", async () => {
    const surface = [
      "client/mutable/mutable.ts",
      "client/immutable/immutable.ts",
      "client/streams/group.ts",
    ];
    const long = (await sources("server", "client")).filter(
      ({ path, text }) => text.split("\n").length > (surface.includes(path) ? 700 : 300),
    );
    expect(long.map(({ path }) => path)).toEqual([]);
  });
});

describe("what is generated is fresh", () => {
  it("gen/ is what buf generates from proto/: npm run generate", async () => {
    const out = await temporaryDirectory();
    const { code, err } = await run(
      join(root, "node_modules/.bin/buf"),
      ["generate", "--output", out.path],
      {
        cwd: root,
        env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` },
      },
    );
    expect([code, err]).toEqual([0, ""]);
    expect((await run("diff", ["-r", join(out.path, "gen"), join(root, "gen")])).out).toBe("");
    await out.remove();
  });

  it("every reason of the proto is known to the client, and every one of the server has its sentence", async () => {
    const proto = await readFile(join(root, "proto/cortex/error/v1/error.proto"), "utf8");
    const reasons = [...proto.matchAll(/(\/\/[^\n]*\n\s*)+ERROR_REASON_(\w+) = /g)].map(
      ([comment, , name]) => ({
        name,
        client: /\(client\)/.test(comment) && !/INVALID_ARGUMENT/.test(comment),
      }),
    );
    const table = await readFile(join(root, "server/errors/reasons.ts"), "utf8");
    for (const { name, client } of reasons)
      if (name !== "UNSPECIFIED")
        expect([name, table.includes(`  ${name}: [`)]).toEqual([name, !client]);
  });
});

// Sends random and mutated messages, frames and metadata to every method. The server does not crash, never
// answers INTERNAL, and its memory does not grow.
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { framed, Session } from "../support/frames.js";
import { random } from "../support/linearize.js";
import { type ServerProcess, spawnServer } from "../support/process.js";
import { cloneDatabase } from "../support/server.js";
import { methods, requestsOf } from "../support/tenant-isolation.js";

const frames = Number(process.env.FUZZ_FRAMES ?? 2000);
const seed = Number(process.env.FUZZ_SEED ?? 7);
const inFlight = 16;
let server: ServerProcess;
let database: Awaited<ReturnType<typeof cloneDatabase>>;
beforeAll(async () => {
  database = await cloneDatabase();
  server = await spawnServer([
    "--database-url",
    database.url,
    "--transaction-idle-seconds",
    "0.2",
    "--allow-purge-all",
  ]);
});
afterAll(async () => {
  await server.end();
  await database.drop();
});

const next = random(seed);
const below = (n: number) => Math.floor(next() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
const bytes = (n: number) => Buffer.from(Array.from({ length: n }, () => below(256)));

function mutated(message: Buffer): Buffer {
  const copy = Buffer.from(message);
  switch (below(7)) {
    case 0:
      return bytes(below(200));
    case 1:
      return copy.subarray(0, below(copy.length + 1));
    case 2:
      return Buffer.concat([copy, bytes(below(20))]);
    case 3:
      return Buffer.concat([copy, copy]);
    case 4: {
      const cut = below(copy.length + 1);
      return Buffer.concat([copy.subarray(0, cut), bytes(1 + below(5)), copy.subarray(cut)]);
    }
    case 5:
      return copy;
    default:
      for (let i = 0; i <= below(6); i++)
        if (copy.length > 0) copy[below(copy.length)] = below(256);
      return copy;
  }
}

function framesOf(message: Buffer): Buffer {
  switch (below(12)) {
    case 0:
      return bytes(below(30));
    case 1:
      return framed(message, {
        length: pick([0, 1, message.length + 1, 2 ** 20, 2 ** 31, 2 ** 32 - 1]),
      });
    case 2:
      return framed(message, { compressed: 1 });
    case 3:
      return framed(gzipSync(message), { compressed: 1 });
    case 4:
      return Buffer.concat([framed(message), framed(mutated(message))]);
    case 5:
      return Buffer.alloc(0);
    case 6:
      return framed(message, { compressed: below(256) });
    default:
      return framed(message);
  }
}

const text = () =>
  pick([
    "",
    "a",
    "acme",
    "x".repeat(300),
    "\u00e9",
    "a,b",
    "%00",
    "\t",
    '{"a":1}',
    "*",
    "../..",
    bytes(9).toString("base64"),
  ]);
const headers: Record<string, () => string> = {
  "x-tenant-id": text,
  "x-tenant-id-bin": text,
  "x-agent-id": text,
  authorization: () => pick(["Bearer x", "Bearer", "bearer a.b.c", "Basic eDp5", text()]),
  "grpc-timeout": () =>
    pick(["1S", "0m", "99999999H", "1n", "-1S", "S", "1", "1e3S", "999999999999S", text()]),
  "grpc-encoding": () => pick(["gzip", "deflate", "identity", "br", text()]),
  "grpc-accept-encoding": text,
  "content-type": () =>
    pick(["application/grpc", "application/grpc+proto", "application/grpc+json", "text/plain"]),
  "grpc-status-details-bin": text,
  "user-agent": text,
  "x-any": text,
  "any-bin": text,
};

function metadata(): Record<string, string> {
  const names = Object.keys(headers).filter(() => below(8) === 0);
  return Object.fromEntries(names.map((name) => [name, headers[name]?.() ?? ""]));
}

/** Resident memory of the server in MB. */
async function memory(): Promise<number> {
  const text = await readFile(`/proc/${server.child.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1]) / 1024;
}

it(`${frames} of them`, async () => {
  const session = new Session(server.address);
  const requests = methods.map((method) => ({
    path: `/${method.parent.typeName}/${method.name}`,
    messages: requestsOf(method).map((request) => Buffer.from(toBinary(method.input, request))),
  }));
  const seen = new Map<string, number>();
  const bad: unknown[] = [];
  let left = frames;
  let warm = 0;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (left-- > 0) {
        const { path, messages } = pick(requests);
        const fields = metadata();
        if (path.endsWith("/Watch")) fields["grpc-timeout"] = "200m"; // it does not end by itself
        const sent = framesOf(mutated(pick(messages)));
        const reply = await session.send(path, fields, sent);
        const outcome = reply.grpc ?? `http ${reply.http}`;
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
        if (reply.grpc === `${status.INTERNAL}` || reply.grpc === `${status.UNKNOWN}`)
          bad.push({ path, fields, sent: sent.toString("hex").slice(0, 400), reply });
        if (left === Math.floor(frames / 2)) warm = await memory();
      }
    }),
  );
  expect(bad.slice(0, 3)).toEqual([]);
  expect(seen.get("0")).toBeGreaterThan(frames / 20); // some of them succeed
  expect(seen.get(`${status.INVALID_ARGUMENT}`)).toBeGreaterThan(frames / 20);
  expect(server.child.exitCode).toBeNull();
  // The second half of the frames takes no more memory, apart from garbage that is not collected yet.
  expect((await memory()) - warm).toBeLessThan(100);
  expect(server.err()).not.toContain("an unexpected failure");
  session.close();
}, 1_800_000);

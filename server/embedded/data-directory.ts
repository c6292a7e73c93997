// The data directory of the embedded Postgres: makes it, checks that this server may use it, and initialises a
// database in it.
import {
  access,
  chmod,
  chown,
  constants,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { codeOf } from "../errors/sqlstate.js";
import {
  type Binaries,
  EmbeddedError,
  execute,
  type Log,
  problemIn,
  sharedDirectory,
  type User,
} from "./host.js";

/** The data directory of Postgres, initialised if there is none. It appears complete or not at all. */
export async function dataDirectory(
  home: string,
  binaries: Binaries,
  user: User | undefined,
  log: Log,
): Promise<string> {
  const link = join(home, "postgres");
  await makeDirectory(home);
  const existing = await realpath(link).catch(() => undefined);
  if (existing !== undefined) {
    await checkVersion(existing, binaries.major);
    await checkOwner(existing, user);
    await checkMode(home);
    return existing;
  }
  await checkMode(home);
  const base = user ? await reachableDirectory(home, user, log) : home;
  try {
    await removeRemains(base);
    log.info({}, `initialising a database in ${base}: this takes a few seconds`);
    const made = await initialise(base, binaries, user);
    const target = join(base, "postgres");
    await rename(made, target).catch((error) => {
      if (codeOf(error) !== "ENOTEMPTY" && codeOf(error) !== "EEXIST") throw error; // otherwise another server was first
    });
    if (target !== link) await symlink(target, link);
    return target;
  } catch (error) {
    if (base !== home) await rm(base, { recursive: true, force: true });
    throw error;
  }
}

async function checkVersion(data: string, major: string): Promise<void> {
  const version = await readFile(join(data, "PG_VERSION"), "utf8").catch((error) =>
    codeOf(error) === "ENOENT" ? "" : undefined,
  );
  if (version === undefined || version.trim() === major) return; // an unreadable one belongs to another user
  throw new EmbeddedError(
    version === ""
      ? `${data} is not a data directory of Postgres: move it away, or give another --data-dir`
      : `${data} was written by Postgres ${version.trim()}, and this is Postgres ${major}: dump it with the former and load it with this one (docs/operations.md)`,
  );
}

const stagingPrefix = "postgres.new-";

async function initialise(base: string, binaries: Binaries, user: User | undefined) {
  try {
    const staging = await mkdtemp(join(base, `${stagingPrefix}${process.pid}-`));
    await chmod(staging, 0o700);
    if (user) await chown(staging, user.uid, user.gid);
    const { code, output } = await execute(
      join(binaries.directory, "bin", "initdb"),
      [
        `--pgdata=${staging}`,
        "--username=cortex",
        "--auth=trust", // only the owner of the directory can reach the socket in it
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
      ],
      user,
    );
    if (code === 0) return staging;
    await rm(staging, { recursive: true, force: true });
    throw new EmbeddedError(`no database can be made in ${base}: ${problemIn(output)}`);
  } catch (error) {
    if (error instanceof EmbeddedError) throw error;
    throw new EmbeddedError(`the data directory ${base} cannot be written (${codeOf(error)})`);
  }
}

/** Removes the staging directories of processes that were killed while they initialised a data directory. */
async function removeRemains(base: string): Promise<void> {
  for (const name of await readdir(base)) {
    const pid =
      name.startsWith(stagingPrefix) && Number.parseInt(name.slice(stagingPrefix.length), 10);
    if (pid && !isAlive(pid)) await rm(join(base, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

/** Makes the data directory, unless it is there. Throws if it cannot be made, or not be written. */
async function makeDirectory(path: string): Promise<void> {
  const cannot = (problem: string) =>
    new EmbeddedError(`the data directory ${path} cannot be used: ${problem}`);
  const elsewhere = "give another --data-dir";
  try {
    await mkdir(dirname(path), { recursive: true });
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOTDIR" || (code === "EEXIST" && !(await isDirectory(dirname(path)))))
      throw cannot(`a part of its path is a file; ${elsewhere}`);
    if (code === "EACCES" || code === "EPERM")
      throw cannot(`${await nameOfUser()} may not make it; give that right, or ${elsewhere}`);
    if (code === "EROFS") throw cannot(`the file system is read-only; ${elsewhere}`);
    if (code !== "EEXIST") throw cannot(`${code}; ${elsewhere}`);
  }
  if (!(await isDirectory(path))) throw cannot(`it is a file; move it away, or ${elsewhere}`);
  try {
    await access(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (codeOf(error) === "EROFS") throw cannot(`the file system is read-only; ${elsewhere}`);
    const owner = await nameOfUser((await stat(path)).uid);
    throw cannot(
      `it belongs to ${owner}, and ${await nameOfUser()} may not write there; run the server as ${owner}, or ${elsewhere}`,
    );
  }
}

const writableByAll = 0o002;
const sticky = 0o1000; // each may replace only what is their own

/** Whoever may write in the directory could put another database in the place of ours. */
async function checkMode(path: string): Promise<void> {
  const { mode } = await stat(path);
  if (mode & writableByAll && !(mode & sticky))
    throw new EmbeddedError(
      `every user may write in the data directory ${path}, and so replace the database: take that right away (chmod o-w), or give another --data-dir, for example a directory in it`,
    );
}

/** Postgres takes only a directory that belongs to the user it runs as. */
async function checkOwner(data: string, user: User | undefined): Promise<void> {
  const { uid } = await stat(data);
  const needed = user?.uid ?? process.getuid?.();
  if (uid === needed) return;
  const owner = await nameOfUser(uid);
  throw new EmbeddedError(
    `the data in ${data} belongs to ${owner}, and this server runs Postgres as ${await nameOfUser(needed)}: run the server as ${owner}, or give another --data-dir`,
  );
}

const isDirectory = async (path: string) =>
  (await stat(path).catch(() => undefined))?.isDirectory() === true;

async function nameOfUser(uid = process.getuid?.()): Promise<string> {
  const { code, output } = await execute("id", ["-un", `${uid}`]);
  return code === 0 ? `the user ${output}` : `the user with id ${uid}`;
}

/**
 * Gives a directory for the data that `user` can reach. Used when root runs the server. The directory is
 * `home` if possible, else a new one elsewhere.
 */
async function reachableDirectory(home: string, user: User, log: Log): Promise<string> {
  const { uid } = await stat(home);
  if (uid !== 0 && uid !== user.uid && (await readdir(home)).length > 0) {
    const owner = await nameOfUser(uid);
    throw new EmbeddedError(
      `the data directory ${home} holds files of ${owner}, and root runs Postgres as ${await nameOfUser(user.uid)}: run the server as ${owner}, or give another --data-dir`,
    );
  }
  try {
    await chown(home, user.uid, user.gid);
    const { code } = await execute("test", ["-x", home], user);
    if (code === 0) return home;
    await mkdir(sharedDirectory, { recursive: true, mode: 0o755 });
    const place = await mkdtemp(join(sharedDirectory, `${basename(home).replace(/^\./, "")}-`));
    await chown(place, user.uid, user.gid);
    log.warn(
      { asked: home, used: place },
      "the data is kept elsewhere: the user postgres, as whom root runs Postgres, cannot reach the directory asked for",
    );
    return place;
  } catch (error) {
    throw new EmbeddedError(`the data directory ${home} cannot be written (${codeOf(error)})`);
  }
}

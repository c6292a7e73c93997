// A server notes its address in a file, so that `cortex-store health` finds it however the address was given.
// The files are in a directory of the user's own, under the directory for temporary files.
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";

export interface ServerNote {
  /** The HOST:PORT that is served. */
  address: string;
  /** The paths of its certificate and key; undefined without TLS. */
  tlsCert?: string | undefined;
  tlsKey?: string | undefined;
}

const acceptMs = 500;

const directory = () => join(tmpdir(), `cortex-store-${userInfo().uid}`);

/** Writes the note of this process; `remove` removes it. Where nothing can be written, there is no note. */
export async function writeNote({ address, tlsCert, tlsKey }: ServerNote) {
  const path = join(directory(), `${process.pid}.json`);
  const absolute = (file?: string) => file && resolve(file);
  const note: ServerNote = { address, tlsCert: absolute(tlsCert), tlsKey: absolute(tlsKey) };
  try {
    await mkdir(directory(), { recursive: true, mode: 0o700 });
    if (!(await isOurs())) return { remove: async () => {} };
    await writeFile(path, JSON.stringify(note));
  } catch {
    return { remove: async () => {} };
  }
  return { remove: () => rm(path, { force: true }) };
}

/** The notes of the servers that run, of this user. */
export async function runningServers(): Promise<ServerNote[]> {
  const files = (await isOurs()) ? await readdir(directory()) : [];
  const notes = await Promise.all(
    files.map(async (file) => {
      const path = join(directory(), file);
      const note = isAlive(Number.parseInt(file, 10)) ? await readNote(path) : undefined;
      if (note && (await accepts(note.address))) return note;
      await rm(path, { force: true }); // its server was killed
      return undefined;
    }),
  );
  return notes.filter((note) => note !== undefined);
}

/** A note; undefined if it cannot be read, for example because its server was killed while it wrote. */
async function readNote(path: string): Promise<ServerNote | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as ServerNote;
  } catch {
    return undefined;
  }
}

/** False if there is no directory, or another user made it: notes there are not to be trusted. */
const isOurs = async (): Promise<boolean> =>
  (await stat(directory()).catch(() => undefined))?.uid === userInfo().uid;

/** True if somebody listens. A process id alone says little: another process may have it by now. */
function accepts(address: string): Promise<boolean> {
  const { hostname, port } = new URL(`tcp://${address}`);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname.replace(/^\[(.*)\]$/, "$1"));
    const end = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.setTimeout(acceptMs, () => end(true)); // it is too busy to tell
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

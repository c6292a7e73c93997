// Files that are read again when they change, at most a second later. If the new content cannot be used, this
// is logged, and the previous content stays in use.
import { type Stats, unwatchFile, watchFile } from "node:fs";
import type { Logger } from "pino";

export interface WatchedFiles<T> {
  readonly current: T;
  stop(): void;
}

const intervalMs = 500;

export async function watchFiles<T>(
  paths: string[],
  what: string,
  read: () => Promise<T>,
  log: Logger,
  changed: (value: T) => void = () => {},
): Promise<WatchedFiles<T>> {
  const explain = (error: unknown) =>
    `${what} in ${paths.join(", ")} cannot be used: ${error instanceof Error ? error.message : error}`;
  let current: T;
  let reading = Promise.resolve();
  const again = (now: Stats, before: Stats) => {
    // Node also calls this once for a file that is not there.
    if (now.mtimeMs === before.mtimeMs && now.ino === before.ino && now.size === before.size)
      return;
    reading = reading.then(async () => {
      try {
        current = await read();
        changed(current);
        log.info({ paths }, `${what} changed`);
      } catch (error) {
        log.error(
          { paths, problem: explain(error) },
          `${what} changed but cannot be used: the previous ones stay`,
        );
      }
    });
  };
  const stop = () => {
    for (const path of paths) unwatchFile(path, again);
  };
  // The files are watched before they are read, so that no change is missed.
  for (const path of paths) watchFile(path, { interval: intervalMs, persistent: false }, again);
  try {
    current = await read();
  } catch (error) {
    stop();
    throw new Error(explain(error), { cause: error });
  }
  return {
    get current() {
      return current;
    },
    stop,
  };
}

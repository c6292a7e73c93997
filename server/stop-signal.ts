// Stopping by a signal. The first SIGINT (Ctrl-C), SIGTERM or SIGHUP (the terminal was closed) asks the
// server to drain. A second Ctrl-C stops it at once.

export interface StopSignal {
  /** Aborts at the first signal. */
  readonly asked: AbortSignal;
  /** Resolves at the first signal. */
  readonly stopped: Promise<void>;
  /** After a second Ctrl-C: resolves when `stopAtOnce` is done. The process ends then. */
  readonly stoppingAtOnce: Promise<void> | undefined;
}

// One key press can arrive several times: npm passes on the Ctrl-C that the terminal has sent to all
// processes.
const onePressMs = 1000;

/** `stopAtOnce` runs at a second Ctrl-C; the process then ends with exit code 130. */
export function stopSignal(stopAtOnce: () => Promise<void> | undefined): StopSignal {
  const asked = new AbortController();
  let askedAt = 0;
  let stoppingAtOnce: Promise<void> | undefined;
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
    process.on(signal, () => {
      const now = performance.now();
      if (!asked.signal.aborted) {
        askedAt = now;
        asked.abort();
      } else if (signal === "SIGINT" && now - askedAt > onePressMs) {
        process.exitCode = 130;
        stoppingAtOnce ??= Promise.resolve(stopAtOnce()).finally(() => process.exit());
      }
    });
  const stopped = new Promise<void>((resolve) => {
    asked.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  return {
    asked: asked.signal,
    stopped,
    get stoppingAtOnce() {
      return stoppingAtOnce;
    },
  };
}

// Stopping by a signal. The first SIGINT (Ctrl-C), SIGTERM or SIGHUP (the terminal was closed) asks the server
// to drain. A second Ctrl-C stops it at once.

export interface StopSignal {
  /** Aborts at the first signal. */
  readonly asked: AbortSignal;
  /** Resolves at the first signal. */
  readonly stopped: Promise<void>;
}

// One key press can arrive several times: npm passes on the Ctrl-C that the terminal has sent to all processes.
const onePressMs = 1000;

/** `stopAtOnce` runs at a second Ctrl-C; the process then ends with exit code 130. */
export function stopSignal(stopAtOnce: () => Promise<void> | undefined): StopSignal {
  const asked = new AbortController();
  let askedAt = 0;
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
    process.on(signal, () => {
      const now = performance.now();
      if (!asked.signal.aborted) {
        askedAt = now;
        asked.abort();
      } else if (signal === "SIGINT" && now - askedAt > onePressMs) {
        void Promise.resolve(stopAtOnce()).finally(() => process.exit(130));
      }
    });
  const stopped = new Promise<void>((resolve) => {
    asked.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  return { asked: asked.signal, stopped };
}

// Watches of the client, for tests.

/** The first `count` changes. */
export async function collect<C>(changes: AsyncIterable<C>, count: number): Promise<C[]> {
  const found: C[] = [];
  for await (const change of changes) {
    found.push(change);
    if (found.length >= count) break;
  }
  return found;
}

type Watch<C> = AsyncGenerator<C, void, undefined>;

/** Opens a watch. Resolves once it has begun: what is written after that comes. */
export async function opened<C>(
  open: (options: { onProgress: () => void }) => Watch<C>,
): Promise<Watch<C>> {
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const watch = open({ onProgress: () => begin() });
  const first = watch.next();
  first.catch(() => {}); // whoever reads it gets the error
  await Promise.race([begun, first]);
  return (async function* () {
    const { value, done } = await first;
    if (done) return;
    try {
      yield value;
      yield* watch;
    } finally {
      await watch.return(undefined);
    }
  })();
}

/** What a watch gives until all that existed has come. */
export async function current<C>(
  open: (options: {
    includeCurrent: true;
    signal: AbortSignal;
    onProgress: (cursor: string, isCurrent: boolean) => void;
  }) => Watch<C>,
): Promise<C[]> {
  const done = new AbortController();
  const found: C[] = [];
  const watch = open({
    includeCurrent: true,
    signal: done.signal,
    onProgress(_, isCurrent) {
      if (isCurrent) done.abort();
    },
  });
  try {
    for await (const change of watch) found.push(change);
  } catch (error) {
    if (!done.signal.aborted) throw error;
  }
  return found;
}

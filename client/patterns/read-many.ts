// Reads many values, however many and however large they are.
import { CortexError } from "../core/error.js";
import type { Surface } from "../scopes/scope.js";

const keysMax = 1000; // the server's limit

/** The values in the order of the keys; null for a key that does not exist. */
export async function readMany<T>(
  cortex: Surface,
  namespace: string,
  keys: readonly string[],
): Promise<(T | null)[]> {
  const values: (T | null)[] = [];
  for (let i = 0; i < keys.length; i += keysMax)
    values.push(...(await readSome<T>(cortex, namespace, keys.slice(i, i + keysMax))));
  return values;
}

async function readSome<T>(
  cortex: Surface,
  namespace: string,
  keys: readonly string[],
): Promise<(T | null)[]> {
  try {
    return await cortex.mutable.getMany<T>(namespace, keys);
  } catch (error) {
    const isLarge = error instanceof CortexError && error.code === "REPLY_TOO_LARGE";
    if (!isLarge || keys.length === 1) throw error;
    const half = keys.length >> 1;
    return [
      ...(await readSome<T>(cortex, namespace, keys.slice(0, half))),
      ...(await readSome<T>(cortex, namespace, keys.slice(half))),
    ];
  }
}

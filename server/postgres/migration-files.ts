// The files of `migrations/`. A file is applied when a server starts, or in the background after the start if
// its name ends in `.background.sql`.
import { readdir } from "node:fs/promises";

const directory = new URL("./migrations/", import.meta.url);

export const migrationFile = (name: string) => new URL(name, directory);

export async function migrationFiles(): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name.endsWith(".sql")).sort();
}

export const isInBackground = (file: string) => file.endsWith(".background.sql");

/** The name of a migration as messages show it. */
export const nameOf = (file: string) => file.replace(/(\.background)?\.sql$/, "");

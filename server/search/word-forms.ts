// The forms of the words of queries, by the dictionaries of the language.
import type { Run } from "../postgres/connection.js";
import type { Language } from "./language.js";
import { lineOf } from "./words.js";

const knownMax = 10_000;

/**
 * The forms by which a word is found. None: it is a stop word. null: no dictionary knows it, so it is found only
 * as it is written.
 */
export type Forms = string[] | null;

/** Looks words up in the dictionaries of Postgres, and remembers them. */
export class WordForms {
  readonly #known = new Map<string, Forms>();

  constructor(readonly language: Language) {}

  async of(run: Run, words: string[]): Promise<Map<string, Forms>> {
    const found = new Map<string, Forms>();
    const unknown = new Set<string>();
    for (const word of words) {
      const forms = this.#known.get(word);
      if (forms !== undefined) found.set(word, forms);
      else unknown.add(word);
    }
    if (unknown.size === 0) return found;
    const asked = [...unknown];
    const rows = await run<{ word: string; forms: Forms }>(
      (sql) => sql`
        select word, to_json(word_forms(${this.language.dictionaries}::int[], line, word)) as forms
        from unnest(${asked}::text[], ${asked.map(lineOf)}::int[]) as asked (word, line)`,
    );
    for (const { word, forms } of rows) {
      found.set(word, forms);
      this.#remember(word, forms);
    }
    return found;
  }

  #remember(word: string, forms: Forms): void {
    this.#known.set(word, forms);
    if (this.#known.size <= knownMax) return;
    const [oldest = ""] = this.#known.keys();
    this.#known.delete(oldest);
  }
}

// Names that were used lately: a set of bounded size, which forgets the oldest.

const namesMax = 10_000;

export class RecentNames {
  readonly #names = new Set<string>();

  has(name: string): boolean {
    return this.#names.has(name);
  }

  add(name: string): void {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    const [oldest] = this.#names;
    if (this.#names.size > namesMax && oldest !== undefined) this.#names.delete(oldest);
  }
}

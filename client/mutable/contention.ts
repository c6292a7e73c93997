// Keys on which others were first: for a while, whoever wants them takes a lock at once.
const rememberMs = 1000;
const keysMax = 10_000;

export class Contention {
  readonly #until = new Map<string, number>();

  saw(id: string): void {
    if (this.#until.size >= keysMax) this.#until.clear();
    this.#until.set(id, performance.now() + rememberMs);
  }

  on(id: string): boolean {
    const until = this.#until.get(id);
    if (until === undefined) return false;
    if (performance.now() < until) return true;
    this.#until.delete(id); // time to try without
    return false;
  }
}

// Remembers keys for which updates or transactions failed because others wrote first. For one second, updates
// and transactions of such a key take a lock at once, without an attempt without locks.
const rememberMs = 1000;
const keysMax = 10_000;

export class Contention {
  readonly #until = new Map<string, number>();

  note(id: string): void {
    if (this.#until.size >= keysMax) this.#until.clear();
    this.#until.set(id, performance.now() + rememberMs);
  }

  isOn(id: string): boolean {
    const until = this.#until.get(id);
    if (until === undefined) return false;
    if (performance.now() < until) return true;
    this.#until.delete(id); // from now on, writes are tried without a lock again
    return false;
  }
}

// Connections for calls that wait for what others do: watches, subscriptions, blocking reads. A server accepts a limited
// number of calls on a connection; beyond that, even a short call would wait until a watch ends. So calls that wait have
// connections of their own, as many as they need.

const callsMax = 100; // a server takes 1000 by default (--streams-max), proxies often 100

interface Shared<Connection> {
  readonly connection: Connection;
  calls: number;
}

export class WaitingConnections<Connection extends { close(): void }> {
  readonly #all: Shared<Connection>[] = [];

  constructor(readonly open: () => Connection) {}

  /** A connection with room for a call. `release` is to be called when the call has ended. */
  take(): { connection: Connection; release(): void } {
    let shared = this.#all.find(({ calls }) => calls < callsMax);
    if (!shared) {
      shared = { connection: this.open(), calls: 0 };
      this.#all.push(shared);
    }
    const taken = shared;
    taken.calls++;
    return { connection: taken.connection, release: () => void taken.calls-- };
  }

  close(): void {
    for (const { connection } of this.#all) connection.close();
  }
}

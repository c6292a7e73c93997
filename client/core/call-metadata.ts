// What the client sends with each call besides the request: tenant, agent, and the current token.
import { Metadata } from "@grpc/grpc-js";
import { type Token, tokenOf } from "./credentials.js";

export class CallMetadata {
  readonly #fixed: Metadata;
  readonly #token: Token | undefined;

  constructor(headers: Record<string, string | undefined>, token: Token | undefined) {
    // A call waits for the connection. Otherwise a missing connection would look like a lost reply.
    this.#fixed = new Metadata({ waitForReady: true });
    for (const [name, value] of Object.entries(headers))
      if (value !== undefined) this.#fixed.set(name, value);
    this.#token = token;
  }

  /** That of every call; undefined if each call asks for its token. */
  get fixed(): Metadata | undefined {
    return this.#token === undefined ? this.#fixed : undefined;
  }

  /** That of the next call, with its token. */
  async next(): Promise<Metadata> {
    const metadata = this.#fixed.clone();
    if (this.#token !== undefined)
      metadata.set("authorization", `Bearer ${await tokenOf(this.#token)}`);
    return metadata;
  }
}

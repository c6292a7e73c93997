// Cursors of watches: a place in the feed, signed, so that nobody can make one up. A cursor belongs to one watch:
// its tenant, its namespace or type, and its names.
import { createHmac, timingSafeEqual } from "node:crypto";
import { CortexError } from "../../errors/reasons.js";
import type { FeedState } from "../../feed/feed.js";
import type { Position } from "../../feed/log.js";
import { isSnapshot, parseSnapshot } from "../../feed/snapshot.js";
import type { NameSelector } from "../../feed/watchers.js";

/** How far a watch has come. */
export interface Place {
  position: Position;
  /**
   * While the current state is sent: names up to this one have been sent, and changes of later ones are left out.
   * undefined: all names are watched.
   */
  bound?: string | undefined;
}

const macBytes = 12;

/** Makes the cursors of a watch. */
export class Cursors {
  readonly #owner: string;

  constructor(
    readonly state: FeedState,
    { tenant, store, space, name, prefix }: NameSelector,
  ) {
    this.#owner = JSON.stringify([tenant, store, space, name ?? null, prefix]);
  }

  /** The text of a place, without its signature. */
  textOf({ position: { from, to, after }, bound }: Place): string {
    const parts = [this.state.epoch, from.text, to?.text ?? "", ...(after ?? ["", ""])];
    return JSON.stringify(bound === undefined ? parts : [...parts, bound]);
  }

  sign(text: string): string {
    return Buffer.concat([this.#mac(text), Buffer.from(text)]).toString("base64url");
  }

  parse(cursor: string): Place {
    const refuse = (problem: string) =>
      new CortexError("INVALID_CURSOR", { field: "cursor", problem });
    const bytes = Buffer.from(cursor, "base64url");
    const text = bytes.subarray(macBytes).toString();
    if (bytes.length <= macBytes || bytes.toString("base64url") !== cursor)
      throw refuse("is not a cursor this server gave");
    const parts = partsOf(text);
    if (!parts) throw refuse("is not a cursor this server gave");
    const [epoch = "", from = "", to = "", rank = "", id = "", bound] = parts;
    if (epoch !== this.state.epoch)
      throw new CortexError("CURSOR_EXPIRED", { problem: "the log was begun anew since" });
    if (!timingSafeEqual(bytes.subarray(0, macBytes), this.#mac(text)))
      throw refuse("belongs to another watch, or was changed");
    const position: Position = {
      from: parseSnapshot(from),
      ...(to !== "" && { to: parseSnapshot(to) }),
      ...(rank !== "" && { after: [rank, id] }),
    };
    return { position, bound };
  }

  #mac(text: string): Buffer {
    const { secret } = this.state;
    return createHmac("sha256", secret)
      .update(`${this.#owner}\n${text}`)
      .digest()
      .subarray(0, macBytes);
  }
}

function partsOf(text: string): string[] | undefined {
  try {
    const parts: unknown = JSON.parse(text);
    const isList = Array.isArray(parts) && (parts.length === 5 || parts.length === 6);
    if (!isList || !parts.every((part) => typeof part === "string")) return undefined;
    return isSnapshot(parts[1] ?? "") ? parts : undefined;
  } catch {
    return undefined;
  }
}

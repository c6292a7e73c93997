// What a client and its scopes have alike, and what a scope has besides.
import { Claims, type Holder } from "../claims/claims.js";
import type { CallOptions, ScopeStep } from "../core/call-options.js";
import { refused } from "../core/error.js";
import { scopeStep } from "../core/scope.js";
import type { Transport } from "../core/transport.js";
import { header, text } from "../core/validate.js";
import { Events } from "../events/events.js";
import { Immutable } from "../immutable/immutable.js";
import { Mutable } from "../mutable/mutable.js";
import { Streams } from "../streams/streams.js";
import {
  exportScope,
  listScopes,
  purgeScope,
  type ScopeListOptions,
  type ScopeListResult,
  type ScopePurgeOptions,
  type ScopePurgeResult,
} from "./scopes.js";

/** Bytes of the id of an agent. */
export const agentBytesMax = 256;

/** The stores and what goes with them: those of the tenant (`Cortex`), or of a scope. */
export class Surface {
  /** Live shared JSON under namespace + key. */
  readonly mutable: Mutable;
  /** Versioned records under type + id, with their history. */
  readonly immutable: Immutable;
  /** Names that one agent at a time holds. */
  readonly claims: Claims;
  /** Messages to whoever listens at that moment. */
  readonly events: Events;
  /** Logs of entries, which groups of consumers share among them. */
  readonly streams: Streams;
  readonly #transport: Transport;
  readonly #holder: Holder;

  protected constructor(transport: Transport, holder: Holder) {
    this.#transport = transport;
    this.#holder = holder;
    this.mutable = new Mutable(transport);
    this.immutable = new Immutable(transport);
    this.claims = new Claims(transport, holder);
    this.events = new Events(transport);
    this.streams = new Streams(transport);
  }

  /** The steps of the path of a scope, the outermost first; none for a client. */
  get path(): readonly ScopeStep[] {
    return this.#transport.scope;
  }

  /**
   * A scope in this one, or in the tenant. It is only a name: nothing is sent, and nothing is created.
   *
   * ```ts
   * const workspace = cortex.scope("organization", "org_123").scope("workspace", "ws_456");
   * await workspace.mutable.set("settings", "theme", "dark");
   * ```
   *
   * @param key What kind of scope: at least one byte of UTF-8, not blank, without control characters.
   * @param identifier Which one, written likewise. The whole path has at most 512 bytes.
   * @throws CortexError INVALID_SCOPE if one of them is empty or no text. What else is wrong, the first call says.
   */
  scope(key: string, identifier: string): Scope {
    return new Scope(this.#transport.scoped(scopeStep(key, identifier)), this.#holder);
  }

  /**
   * Lists the scopes directly in this one, or in the tenant, in which, or below which, something is stored. Throws
   * INVALID_LIMIT, INVALID_PAGE_TOKEN.
   */
  scopes(options: ScopeListOptions = {}): Promise<ScopeListResult> {
    return listScopes(this.#transport, options);
  }
}

/**
 * A scope: namespaces, types, claims, channels and streams within a path of the tenant. The same names in another scope,
 * or in none, are others: lists, searches, watches and wildcards never cross. Users are those of the tenant.
 *
 * A claim of a scope guards writes in that scope. Request ids are those of the tenant: one that was used in another scope
 * is refused (REQUEST_ID_REUSED).
 */
export class Scope extends Surface {
  readonly #transport: Transport;
  readonly #holder: Holder;

  constructor(transport: Transport, holder: Holder) {
    super(transport, holder);
    this.#transport = transport;
    this.#holder = holder;
  }

  /**
   * The same scope for another agent of this process: what it writes is recorded under this id (`updatedBy`,
   * `publishedBy`, `appendedBy`), and so are the claims that it acquires.
   *
   * @param agentId Printable ASCII up to 256 bytes.
   * @throws CortexError INVALID_AGENT_ID.
   */
  as(agentId: string): Scope {
    const id = header("agentId", text(agentId, "agentId", "INVALID_AGENT_ID"), "INVALID_AGENT_ID");
    if (id === "" || id.length > agentBytesMax)
      throw refused("INVALID_AGENT_ID", "agentId", `has not 1 to ${agentBytesMax} bytes`);
    return new Scope(this.#transport.as(id), this.#holder.as(id));
  }

  /**
   * Exports what is stored in this scope and below it, as lines of JSON: entries, all versions of records, claims and
   * entries of streams. The call needs the permission `admin` if the server asks for credentials. If the connection
   * breaks after its first line, the export fails; begin it again.
   */
  export(options: CallOptions = {}): AsyncGenerator<string, void, undefined> {
    return exportScope(this.#transport, options);
  }

  /**
   * Deletes what is stored in this scope and below it, all or nothing: entries, records with all their versions, claims,
   * and streams with their groups. What is written meanwhile may stay.
   */
  purge(options: ScopePurgeOptions = {}): Promise<ScopePurgeResult> {
    return purgeScope(this.#transport, options);
  }
}

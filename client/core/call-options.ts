// The options that all calls take.

/** The options of every call. */
export interface CallOptions {
  /**
   * Milliseconds until the call, retries included, fails with DEADLINE_EXCEEDED. Default: the client's
   * `timeoutMs`.
   */
  timeoutMs?: number | undefined;
  /** Cancels the call: it fails with CANCELLED, and the signal's reason is the `cause`. */
  signal?: AbortSignal | undefined;
}

/** The options of every write. */
export interface WriteOptions extends CallOptions {
  /**
   * The request id, 1 to 128 bytes. For 24 hours, the server applies a write once per request id, however
   * often it is sent, also from other processes. Default: a new id for each call, which its retries share.
   */
  requestId?: string | undefined;
  /**
   * The claim that the caller must hold: a `Claim`, or its name and fence. If it is not held any more, the write fails
   * with FENCE_STALE and changes nothing. Default: none.
   */
  claim?: ClaimGuard | undefined;
}

/** A claim and its fence, which guard a write. */
export interface ClaimGuard {
  readonly name: string;
  readonly fence: string;
}

/** A step of the path of a scope, such as an organization. */
export interface ScopeStep {
  readonly key: string;
  readonly identifier: string;
}

/** The options of a stream that has no end. */
export interface EndlessOptions extends CallOptions {
  /** Milliseconds until it fails if it cannot begin. Default: `timeoutMs`. */
  beginMs?: number;
}

/** A call in which both sides send messages. */
export interface Conversation<Request, Response> {
  send(message: Request): void;
  /** The next answer; undefined at the end. */
  next(): Promise<Response | undefined>;
  /** Ends the call in any state. */
  close(): void;
}

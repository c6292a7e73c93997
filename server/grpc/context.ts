// What the calls of a server process share.
import type { Logger } from "pino";
import type { Authenticator } from "../auth/authenticate.js";
import type { Credentials } from "../auth/credentials.js";
import type { Config } from "../config/config.js";
import type { Feed } from "../feed/feed.js";
import type { Bus } from "../postgres/bus.js";
import type { DatabaseMonitor } from "../postgres/monitor.js";
import type { Pools } from "../postgres/pools.js";
import type { AccessCounter } from "../runtime/access-counter.js";
import type { GroupCommits } from "../runtime/group-commits.js";
import type { InFlight } from "../runtime/in-flight.js";
import type { KeptReplies } from "../runtime/kept-replies.js";
import type { KeyLocks } from "../runtime/key-locks.js";
import type { PlannerSamples } from "../runtime/planner-samples.js";
import type { Quotas } from "../runtime/quotas.js";
import type { RateLimiter } from "../runtime/rate-limiter.js";
import type { RecentNames } from "../runtime/recent-names.js";
import type { Turns } from "../runtime/turns.js";
import type { Language } from "../search/language.js";
import type { WordForms } from "../search/word-forms.js";
import type { Telemetry } from "../telemetry/telemetry.js";
import type { Listener } from "./listener.js";
import type { RefusedCalls } from "./refused-calls.js";

/** The state that all calls of a server process share. */
export interface SharedState {
  config: Config;
  quotas: Quotas;
  replies: KeptReplies;
  locks: KeyLocks;
  bus: Bus;
  feed: Feed;
  claimTurns: Turns;
  /** Of the readers of consumer groups. */
  readerTurns: Turns;
  /** The streams that are known to exist, by their names in KeyLocks. They may have been deleted on another server. */
  knownStreams: RecentNames;
  access: AccessCounter;
  samples: PlannerSamples;
  /** The language of searches. */
  language: Language;
  wordForms: WordForms;
  /** True while the background migration 0010 rewrites what records are found by. */
  hasFormerRecords: boolean;
  /** False while the background migration 0017 counts what was stored before: then rows must be counted. */
  usageIsKnown: boolean;
}

export interface ServerContext extends SharedState {
  /** undefined: telemetry is off. */
  telemetry: Telemetry | undefined;
  /** undefined: calls need no credentials. */
  authenticator: Authenticator | undefined;
  /**
   * The credentials of every call if the server asks for none. undefined if it asks: then the interceptor has
   * checked the credentials of each call.
   */
  anonymous: Credentials | undefined;
  listener: Listener;
  refusedCalls: RefusedCalls;
  rateLimiter: RateLimiter;
  pools: Pools;
  groupCommits: GroupCommits;
  log: Logger;
  inFlight: InFlight;
  monitor: DatabaseMonitor;
}

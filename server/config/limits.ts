// The settings that limit what a tenant, a connection or a reader may take.
import { seconds, setting, whole } from "./setting.js";

export const limits = {
  ratePerSecond: setting({
    env: "CORTEX_RATE_PER_SECOND",
    default: 0,
    arg: "n",
    parse: whole(0, 1_000_000),
    doc: "Calls a second that a tenant may make in each worker, in the long run; 0 is no limit.",
  }),
  rateBurst: setting({
    env: "CORTEX_RATE_BURST",
    default: 0,
    arg: "n",
    parse: whole(0, 10_000_000),
    doc: "Calls that a tenant may make at once after a pause; 0 is as many as --rate-per-second.",
  }),
  quotaKeys: setting({
    env: "CORTEX_QUOTA_KEYS",
    default: 0,
    arg: "n",
    parse: whole(0, Number.MAX_SAFE_INTEGER),
    doc: "Keys that a tenant may have in MutableStore; 0 is no limit.",
  }),
  quotaBytes: setting({
    env: "CORTEX_QUOTA_BYTES",
    default: 0,
    arg: "bytes",
    parse: whole(0, Number.MAX_SAFE_INTEGER),
    doc: "Bytes that a tenant may store: values, data of versions, metadata and profiles of users together; 0 is no limit.",
  }),
  quotaVersions: setting({
    env: "CORTEX_QUOTA_VERSIONS",
    default: 0,
    arg: "n",
    parse: whole(0, Number.MAX_SAFE_INTEGER),
    doc: "Versions that a tenant may have in ImmutableStore; 0 is no limit.",
  }),
  replyBytes: setting({
    env: "CORTEX_REPLY_BYTES",
    default: 64 * 1024 * 1024,
    arg: "bytes",
    parse: whole(0, Number.MAX_SAFE_INTEGER),
    doc: "Bytes that the large stored replies (above 1 KiB) of a tenant may take together; beyond that the oldest keep revisions and times only. 0: none keeps more. They count in no quota.",
  }),
  auditDays: setting({
    env: "CORTEX_AUDIT_DAYS",
    default: 365,
    arg: "days",
    parse: whole(0, 36_500),
    doc: "Days for which the records of the audit trail (type $cortex/audit) are kept; 0 keeps them for ever. They count in no quota.",
  }),
  queueMax: setting({
    env: "CORTEX_QUEUE_MAX",
    default: 2000,
    arg: "n",
    parse: whole(1, 1_000_000),
    doc: "Calls that may wait for each connection pool to Postgres, and for locked keys; more are refused at once (OVERLOADED).",
  }),
  connectionsMax: setting({
    env: "CORTEX_CONNECTIONS_MAX",
    default: 10_000,
    arg: "n",
    parse: whole(1, 1_000_000),
    doc: "Connections of callers that each worker accepts; more are closed at once.",
  }),
  streamsMax: setting({
    env: "CORTEX_STREAMS_MAX",
    default: 1000,
    arg: "n",
    parse: whole(1, 100_000),
    doc: "Calls that may be in flight on one connection; the caller holds further calls back.",
  }),
  stallSeconds: setting({
    env: "CORTEX_STALL_SECONDS",
    default: 60,
    arg: "seconds",
    parse: seconds(0.1, 86400),
    doc: "Longest time for which the reader of a reply may take nothing. Then its stream ends (SLOW_READER); after twice that time its connection is closed.",
  }),
};

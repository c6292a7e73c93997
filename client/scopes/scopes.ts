// Lists scopes, and exports and purges one.
import { Scopes } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import type { CallOptions, ScopeStep, WriteOptions } from "../core/call-options.js";
import { exportedLines } from "../core/export.js";
import type { Transport } from "../core/transport.js";
import {
  callNames,
  callOptions,
  flag,
  rejectUnknown,
  text,
  whole,
  writeOptions,
} from "../core/validate.js";

export interface ScopeListOptions extends CallOptions {
  /** How many at most: 1 to 1000. Default: 100. */
  limit?: number | undefined;
  /** The `nextPageToken` of the page before. Default: the first page. */
  pageToken?: string | undefined;
}

export interface ScopeListResult {
  scopes: ScopeStep[];
  /** undefined: this is the last page. */
  nextPageToken?: string;
}

export interface ScopePurgeOptions extends WriteOptions {
  /** True to count only. Default: false. */
  dryRun?: boolean | undefined;
}

/** How much was purged, or would be. */
export interface ScopePurgeResult {
  entries: number;
  records: number;
  /** Of those records. */
  versions: number;
  claims: number;
  streams: number;
  dryRun: boolean;
}

const rpc = Scopes.method;

export async function listScopes(
  transport: Transport,
  options: ScopeListOptions,
): Promise<ScopeListResult> {
  rejectUnknown(options, ["limit", "pageToken", ...callNames], "INVALID_OPTIONS", "scopes");
  const { limit, pageToken = "", ...rest } = options;
  const request = {
    pageToken: text(pageToken, "pageToken", "INVALID_PAGE_TOKEN"),
    ...(limit !== undefined && { limit: whole(limit, "limit", "INVALID_LIMIT") }),
  };
  const { scopes, nextPageToken } = await transport.unary(rpc.list, request, rest);
  return {
    scopes: scopes.map(({ key, identifier }) => ({ key, identifier })),
    ...(nextPageToken !== "" && { nextPageToken }),
  };
}

export async function* exportScope(
  transport: Transport,
  options: CallOptions,
): AsyncGenerator<string, void, undefined> {
  callOptions(options, "export");
  yield* exportedLines(transport, rpc.export, {}, options);
}

export async function purgeScope(
  transport: Transport,
  options: ScopePurgeOptions,
): Promise<ScopePurgeResult> {
  writeOptions(options, "purge", ["dryRun"]);
  const { dryRun = false, ...rest } = options;
  const request = { dryRun: flag(dryRun, "dryRun") };
  const purged = await transport.write(rpc.purge, request, rest);
  return {
    entries: Number(purged.entries),
    records: Number(purged.records),
    versions: Number(purged.versions),
    claims: Number(purged.claims),
    streams: Number(purged.streams),
    dryRun: purged.dryRun,
  };
}

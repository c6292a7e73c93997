// Gets the query plans of the actual statements that handlers run.
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll } from "vitest";
import { defaults } from "../../server/config/config.js";
import type { Feed } from "../../server/feed/feed.js";
import type { Call } from "../../server/grpc/call.js";
import type { Bus } from "../../server/postgres/bus.js";
import {
  connect,
  type Fragment,
  type Run,
  type Sql,
  tenantViews,
} from "../../server/postgres/connection.js";
import { batchParameters, pageParameters } from "../../server/postgres/pools.js";
import { scopeText } from "../../server/postgres/tenant-connection.js";
import { AccessCounter } from "../../server/runtime/access-counter.js";
import { KeptReplies } from "../../server/runtime/kept-replies.js";
import { KeyLocks } from "../../server/runtime/key-locks.js";
import { PlannerSamples } from "../../server/runtime/planner-samples.js";
import { Quotas } from "../../server/runtime/quotas.js";
import { RecentNames } from "../../server/runtime/recent-names.js";
import { Turns } from "../../server/runtime/turns.js";
import { type Language, languageOf } from "../../server/search/language.js";
import { WordForms } from "../../server/search/word-forms.js";
import type { Served } from "./server.js";

export interface Plan {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  "Index Cond"?: string;
  Alias?: string;
  Plans?: Plan[];
}

/** Thrown to end a handler once its statement is explained. */
class Explained extends Error {
  constructor(readonly nodes: Plan[]) {
    super();
  }
}

/** Explains a statement: of fragments, or of one text with parameters. */
function explained(sql: Sql, build: (sql: Sql) => Fragment) {
  let text: { statement: string; values: never[] } | undefined;
  const spy = Object.assign((...parts: Parameters<Sql>) => sql(...parts), sql, {
    unsafe(statement: string, values?: never[]) {
      if (values) text = { statement, values };
      return sql.unsafe(statement);
    },
  });
  const built = build(spy as Sql);
  return text
    ? sql.unsafe(`explain (format json) ${text.statement}`, text.values, { prepare: true })
    : sql`explain (format json) ${built}`;
}

/** Explains the first statement for which there is no row in `answers`. */
const explaining =
  (sql: Sql, answers: object[] = []): Run =>
  async <T>(build: (sql: Sql) => Fragment) => {
    const answer = answers.shift();
    if (answer) return [answer] as T[];
    const [row] = await explained(sql, build);
    const nodes: Plan[] = [];
    const walk = (plan: Plan) => {
      nodes.push(plan);
      plan.Plans?.forEach(walk);
    };
    walk(row?.["QUERY PLAN"][0].Plan);
    throw new Explained(nodes);
  };

/** Runs nothing for the first statement. */
function afterFirst(run: Run): Run {
  let isFirst = true;
  return async (build) => {
    if (!isFirst) return run(build);
    isFirst = false;
    return [];
  };
}

const never = () => {
  throw new Error("not here");
};

/** Explains statements on the database of a server. */
export function explainer(s: Served) {
  // These connections are set up like those of calls: they use the views, for the tenant "".
  let sql: Sql;
  let batchSql: Sql;
  let pageSql: Sql;
  let language: Language;
  let wordForms: Pick<WordForms, "of">;
  beforeAll(async () => {
    const run: Run = (build) => build(s.sql) as never;
    language = await languageOf(run, defaults.searchLanguage);
    const real = new WordForms(language);
    wordForms = { of: (_, words) => real.of(run, words) };
    sql = connect(s.databaseUrl, { max: 1, connection: tenantViews });
    batchSql = connect(s.databaseUrl, {
      max: 1,
      connection: { ...batchParameters, ...tenantViews },
    });
    pageSql = connect(s.databaseUrl, {
      max: 1,
      connection: { ...pageParameters, ...tenantViews },
    });
    for (const one of [sql, batchSql, pageSql])
      await one`select set_config('cortex.tenants', ${scopeText([""])}, false)`;
  });
  afterAll(() => Promise.all([sql.end(), batchSql.end(), pageSql.end()]));

  const call = (run: Run): Call => ({
    caller: {
      tenant: "",
      scope: "",
      agent: undefined,
      principal: undefined,
      reach: undefined,
      may: () => true,
    },
    db: {
      short: run,
      pages: explaining(pageSql),
      scans: run,
      searches: run,
      lockWaiting: run,
      canWaitForLock: true,
      large: run,
      purges: run,
      submit: async (kind, item) => (await kind.run(explaining(batchSql), [item]))[0] as never,
      begin: never,
      beginCommit: never,
      // The first statement of a purge says what it is (cortex.removal).
      beginPurge: async () =>
        ({
          run: afterFirst(run),
          rollback: async () => {},
        }) as unknown as Awaited<ReturnType<Call["db"]["beginPurge"]>>,
    },
    inRoom: never,
    server: {
      claimTurns: new Turns(1000),
      readerTurns: new Turns(1000),
      knownStreams: new RecentNames(),
      feed: { announce: () => {} } as unknown as Feed,
      quotas: new Quotas({ keys: 0, bytes: 0, versions: 0, pending: 0 }, never),
      replies: new KeptReplies(0, never, { cannot: () => {}, did: () => {} }),
      locks: new KeyLocks(1000),
      bus: {
        publish: () => {},
        publishAll: () => {},
        listen: () => ({ stop() {} }),
      } as unknown as Bus,
      config: { ...defaults, allowPurgeAll: true },
      language,
      wordForms: wordForms as WordForms,
      hasFormerRecords: false,
      usageIsKnown: true,
      samples: new PlannerSamples(),
      access: new AccessCounter(run, { cannot: never, did: () => {} }),
    },
    fail: never,
    reauthenticate: never,
    signal: new AbortController().signal,
  });

  /** The plan of the first statement that `work` runs, but for those that `answers` answers. */
  async function plan(
    work: (run: Run) => unknown,
    { on = sql, answers = [] as object[] } = {},
  ): Promise<Plan[]> {
    const run = explaining(on, answers);
    try {
      const result = work(run) as Promise<unknown> | AsyncGenerator;
      await ("next" in result ? result.next() : result);
    } catch (error) {
      if (error instanceof Explained) return error.nodes;
      throw error;
    }
    throw new Error("no statement was run");
  }

  return {
    /** The plan of the server's own statements, which use the tables of all tenants. */
    housekeeping: (work: (run: Run) => unknown) => plan(work, { on: s.sql }),
    rpc: <I extends DescMessage>(
      handler: (request: MessageShape<I>, call: Call) => unknown,
      schema: I,
      request: MessageInitShape<I>,
      answers?: object[],
    ) => plan((run) => handler(create(schema, request), call(run)), answers && { answers }),
  };
}

/**
 * The table scans of a plan that do not look rows up by the full key in the primary key, as text. `fullKeys` has, for
 * each table, the index condition of such a lookup.
 */
export function scansWithoutFullKey(nodes: Plan[], fullKeys: Record<string, RegExp>): string[] {
  const scans = nodes.filter((node) => node["Relation Name"] && /Scan/.test(node["Node Type"]));
  if (scans.length === 0) throw new Error("the plan reads no table");
  return scans
    .filter(
      (node) =>
        !node["Index Name"]?.endsWith("_pkey") ||
        !fullKeys[node["Relation Name"] ?? ""]?.test(node["Index Cond"] ?? ""),
    )
    .map(
      (node) =>
        `${node["Node Type"]} of ${node["Relation Name"]} in ${node["Index Name"]} by ${node["Index Cond"]}`,
    );
}

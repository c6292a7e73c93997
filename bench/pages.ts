// Lists and scans: what a page costs, and what a row of a long scan, to a raw reader and through the client.
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { MutablePage } from "../client/index.js";
import { ListRequestSchema, MutableStore } from "../gen/cortex/mutable/v1/mutable_pb.js";
import type { Sql } from "../server/postgres/connection.js";
import { Load } from "./load.js";
import type { Meter } from "./meter.js";
import type { Server } from "./process.js";

const path = `/${MutableStore.typeName}/${MutableStore.method.list.name}`;
const scanned = 100_000;
const pageRows = 1000;

/** Stores so many entries of 210 bytes in a namespace, from a number on, with keys that have prefixes of 100. */
export const fill = (sql: Sql, namespace: string, keys: number, from = 0) => sql`
  insert into mutable (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
  select '', ${namespace}, lpad((n / 100)::text, 6, '0') || ':' || lpad((n % 100)::text, 2, '0'), json_build_object('text', repeat('x', 195)), now(), now(), n, n
  from generate_series(${from}::int, ${from + keys - 1}::int) n`;

export async function pages(meter: Meter, { address, pid, cortex, sql }: Server): Promise<void> {
  await fill(sql, "scanned", scanned);
  await sql`vacuum analyze mutable`;
  const load = new Load(address);
  const list = (init: MessageInitShape<typeof ListRequestSchema>) =>
    load.call(path, toBinary(ListRequestSchema, create(ListRequestSchema, init)));
  const hundred = { namespace: "scanned", filter: { keyPrefix: "000005:" } };
  await meter.compare(
    "list of 100",
    [
      {
        name: "with the total",
        work: () => list(hundred),
        server: pid,
      },
      {
        name: "without",
        work: () => list({ ...hundred, total: false }),
        server: pid,
      },
      {
        name: "its rows straight from Node",
        work: () =>
          sql`select key, value::text, metadata::text, created_at, updated_at, revision from mutable
            where tenant = '' and namespace = 'scanned' and starts_with(key, '000005:') and key >= '000005:' order by key limit 100`,
      },
    ],
    { count: 800, concurrency: 8 },
  );
  const tokens = await pageTokens(cortex);
  const readers = ["a raw reader, page after page", "a raw reader, with the next page on its way"];
  for (const [i, name] of readers.entries())
    await meter.compare(
      `scan of ${scanned} rows, for each row`,
      [{ name, work: (n) => list(page(tokens, n)), server: pid }],
      { count: 2 * tokens.length, concurrency: i + 1, units: pageRows },
    );
  await meter.compare(
    `scan of ${scanned} rows, for each row`,
    [
      {
        name: "the TypeScript client",
        async work() {
          let rows = 0;
          for await (const _ of cortex.mutable.scan("scanned")) rows++;
          if (rows !== scanned) throw new Error(`${rows} rows`);
        },
        server: pid,
      },
    ],
    { count: 2, concurrency: 1, units: scanned },
  );
  load.close();
}

const page = (tokens: string[], n: number) => ({
  namespace: "scanned",
  limit: pageRows,
  total: false,
  pageToken: tokens[n % tokens.length] as string,
});

/** The page token of each page of the scan. */
async function pageTokens({ mutable }: Server["cortex"]): Promise<string[]> {
  const tokens: string[] = [];
  for (let token: string | undefined = ""; token !== undefined; ) {
    tokens.push(token);
    const options: MutablePage = {
      limit: pageRows,
      total: false,
      ...(token && { pageToken: token }),
    };
    const { nextPageToken } = await mutable.list("scanned", options);
    token = nextPageToken;
  }
  return tokens;
}

import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  SearchIn,
  type SearchRequest,
  type SearchResultSchema,
} from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import { codeOf } from "../errors/sqlstate.js";
import type { Call } from "../grpc/call.js";
import { type Fragment, joinFragments, type Sql } from "../postgres/connection.js";
import { type FoundRow, highlight, positionsOf, type SearchedField } from "../search/highlight.js";
import { parseQuery, type SearchColumns, TermConditions } from "../search/query.js";
import { byteWindow, inOrder, type PageRow, sizedRow } from "../storage/keyset.js";
import { invalidToken, pageToken, positionOf } from "../storage/page-token.js";
import { matches, parseFilter } from "../storage/versions/filter.js";
import { listHistoryBytesMax, previousVersions } from "../storage/versions/history.js";
import {
  current,
  type RecordRow,
  toRecord,
  columns as versionColumns,
  wireSize,
} from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

const resultsBytesMax = 1024 * 1024;

interface Row extends RecordRow, PageRow, FoundRow {
  score: number;
}

export async function search(request: SearchRequest, call: Call) {
  const { searchSeconds, statementSeconds } = call.server.config;
  return find(request, call).catch((error: unknown) => {
    if (codeOf(error) !== "57014") throw error; // query_canceled: statement_timeout
    const limit = `${Math.min(searchSeconds, statementSeconds)}`;
    throw new CortexError("SEARCH_TOO_BROAD", { limit }, { cause: error });
  });
}

async function find(request: SearchRequest, { caller, db, server }: Call) {
  const filter = parseFilter(caller, request.filter);
  const limit = check.limit(request.limit, 10);
  const skip = check.offset(request.offset, request.pageToken);
  const fields = fieldsOf(request.searchIn);
  const query = [filter, request.query, fields];
  const [lastScore, type = "", id = ""] = positionOf(request.pageToken, query, 3) ?? [];
  if (lastScore !== undefined && !isScore(lastScore)) throw invalidToken();
  const terms = await parseQuery(request.query, server.wordForms, db.searches);
  const rows = await db.searches<Row>((sql) => {
    const conditions = new TermConditions(sql, terms, server.language, server.hasFormerRecords);
    const columns = fields.map((field) => columnsOf(sql, field, sql`h`));
    // Postgres fetches and decompresses a large column anew for each expression that names it. The results of
    // expressions are kept.
    const inMemory = fields.map((field) => {
      const { words, text } = columnsOf(sql, field, sql`h`);
      return sql`${words} || ''::tsvector as ${sql(`${field}_words`)}, ${text} || '' as ${sql(`${field}_text`)}`;
    });
    const weighed = fields.map((field) => columnsOf(sql, field, sql`whole`));
    return sql`
      with h as materialized (
        select h.*, weight / (1 + weight) as score
        from (
          select h.tenant, h.type, h.id, h.version, h.first_version, h.first_created_at, (${conditions.weight(weighed)})::float8 as weight
          from immutable h
          cross join lateral (select ${joinFragments(sql, inMemory, sql`,`)} offset 0) as whole
          where ${matches(sql, filter, server.hasFormerRecords)} and ${conditions.allFound(columns)}
        ) as h
      ), best as materialized (
        select * from h
        ${lastScore === undefined ? sql`` : sql`where score < ${lastScore}::float8 or (score = ${lastScore}::float8 and (type, id) > (${type}, ${id}))`}
        order by score desc, type, id limit ${limit + 1} offset ${skip}
      ), page as (
        select h.first_version, h.first_created_at, h.score, v.*, ${sizedRow(sql, wireSize(sql))}
        from best h join immutable_version v on ${current(sql)}
        ${inOrder(sql, sql`h.score desc, h.type, h.id`)}
      ), v as (${byteWindow(sql, resultsBytesMax)})
      select v.score, v.found, v.type, v.id, v.first_version, v.first_created_at, ${versionColumns(sql)},
        h.unicode, ${positionsOf(sql, fields, "data", conditions.terms)} as data_positions,
        ${positionsOf(sql, fields, "metadata", conditions.terms)} as metadata_positions
      from v join immutable h on h.tenant = v.tenant and h.type = v.type and h.id = v.id
      where v.place <= ${limit}
      order by v.place`;
  });
  const results = fitting(rows, (row) =>
    highlight(
      row,
      fields,
      terms.filter(({ ignored }) => !ignored),
    ),
  );
  const page = results.map(({ row }) => row);
  const last = page.at(-1);
  const hasMore = Number(last?.found ?? 0) > page.length;
  const previous = request.includeHistory
    ? await previousVersions(db.searches, caller.tenant, page, listHistoryBytesMax)
    : [];
  return {
    results: results.map(
      ({ row, marks }, i): MessageInitShape<typeof SearchResultSchema> => ({
        record: toRecord(row, previous[i]),
        score: row.score,
        ...marks,
      }),
    ),
    nextPageToken: hasMore && last ? pageToken(query, [`${last.score}`, last.type, last.id]) : "",
  };
}

const isScore = (text: string): boolean => {
  const score = Number(text);
  return score > 0 && score < 1 && `${score}` === text;
};

/** As many rows as fit one message together with what is marked in them. The first always does. */
function fitting<Row, Marks>(
  rows: Row[],
  marksOf: (row: Row) => Marks,
): { row: Row; marks: Marks }[] {
  const page: { row: Row; marks: Marks }[] = [];
  let bytes = 0;
  for (const row of rows) {
    const marks = marksOf(row);
    bytes += Buffer.byteLength(JSON.stringify(marks));
    if (page.length > 0 && bytes > resultsBytesMax) break;
    page.push({ row, marks });
  }
  return page;
}

function fieldsOf(searchIn: SearchIn): SearchedField[] {
  switch (searchIn) {
    case SearchIn.UNSPECIFIED:
    case SearchIn.DATA:
      return ["data"];
    case SearchIn.METADATA:
      return ["metadata"];
    case SearchIn.BOTH:
      return ["data", "metadata"];
    default:
      throw new CortexError("INVALID_OPTIONS", {
        field: "search_in",
        problem: "is not one that is known",
        got: `${searchIn satisfies never}`,
      });
  }
}

const columnsOf = (sql: Sql, field: SearchedField, of: Fragment): SearchColumns =>
  field === "data"
    ? { words: sql`${of}.data_words`, text: sql`${of}.data_text` }
    : { words: sql`${of}.metadata_words`, text: sql`${of}.metadata_text` };

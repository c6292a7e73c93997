import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  SearchIn,
  type SearchRequest,
  type SearchResultSchema,
} from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { joinFragments, type Sql } from "../postgres/connection.js";
import { type Line, linesOf, marked } from "../search/highlight.js";
import { type Columns, Terms, termsOf } from "../search/query.js";
import { pageToken, positionOf, type Query } from "../storage/page-token.js";
import { checkFilter, matches, queryOf } from "../storage/versions/filter.js";
import { listHistoryBytesMax, pastOf } from "../storage/versions/history.js";
import {
  current,
  type RecordRow,
  size,
  toRecord,
  columns as versionColumns,
} from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

const searchBytesMax = 1024 * 1024;

interface Found extends RecordRow {
  score: number;
  found: string;
  /** Of each term whether it was left out. */
  ignored: boolean[];
  data_lines: Line[] | null;
  metadata_lines: Line[] | null;
}

export async function search(request: SearchRequest, { tenant, searches, language }: Call) {
  const matching = checkFilter(tenant, request.filter);
  const limit = check.limit(request.limit, 10);
  const skip = check.offset(request.offset, request.pageToken);
  const places = placesOf(request.searchIn);
  const query: Query = [...queryOf(matching), request.query, places.join()];
  const [score, type = "", id = ""] = positionOf(request.pageToken, query, 3) ?? [];
  const last = Number(score);
  if (score !== undefined && !(last > 0 && last < 1 && `${last}` === score))
    throw new CortexError("INVALID_PAGE_TOKEN", {
      field: "page_token",
      problem: "is not a token this server gave",
    });
  const asked = termsOf(request.query);
  const rows = await searches<Found>((sql) => {
    const terms = new Terms(sql, asked, language);
    const columns = places.map((place) => columnsOf(sql, place));
    return sql`
      with h as materialized (
        select h.*, weight / (1 + weight) as score
        from (
          select h.tenant, h.type, h.id, h.version, h.first_version, h.first_created_at, (${terms.weight(columns)})::float8 as weight
          from immutable h where ${matches(sql, matching)} and ${terms.held(columns)}
        ) as h
      ), page as materialized (
        select * from h
        ${score === undefined ? sql`` : sql`where score < ${score}::float8 or (score = ${score}::float8 and (type, id) > (${type}, ${id}))`}
        order by score desc, type, id limit ${limit + 1} offset ${skip}
      ), v as materialized (
        select h.type as of_type, h.id as of_id, h.first_version, h.first_created_at, h.score, v.*, count(*) over () as found,
          row_number() over best as place, sum(${size(sql)}) over best - ${size(sql)} as bytes_before
        from page h join immutable_version v on ${current(sql)}
        window best as (order by h.score desc, h.type, h.id rows unbounded preceding)
      )
      select v.score, v.found, v.of_type as type, v.of_id as id, v.first_version, v.first_created_at, ${versionColumns(sql)},
        ${linesOf(sql, places, "data", terms)} as data_lines, ${linesOf(sql, places, "metadata", terms)} as metadata_lines,
        json_build_array(${joinFragments(
          sql,
          asked.map((term) => terms.ignored(term)),
          sql`,`,
        )}) as ignored
      from v join immutable h on h.tenant = v.tenant and h.type = v.type and h.id = v.id
      where v.bytes_before < ${searchBytesMax} and v.place <= ${limit}
      order by v.place`;
  });
  const results = fitting(rows, (row) =>
    marked(
      row,
      places,
      asked.filter((_, i) => !row.ignored[i]),
    ),
  );
  const page = results.map(({ row }) => row);
  const end = page.at(-1);
  const more = Number(end?.found ?? 0) > page.length;
  const past = request.includeHistory
    ? await pastOf(searches, tenant, page, listHistoryBytesMax)
    : [];
  return {
    results: results.map(
      ({ row, marks }, i): MessageInitShape<typeof SearchResultSchema> => ({
        record: toRecord(row, past[i]),
        score: row.score,
        ...marks,
      }),
    ),
    nextPageToken: more && end ? pageToken(query, [`${end.score}`, end.type, end.id]) : "",
  };
}

/** As many as fit one message with what is marked in them: the first always does. */
function fitting<Row, Marks>(
  rows: Row[],
  marksOf: (row: Row) => Marks,
): { row: Row; marks: Marks }[] {
  const page: { row: Row; marks: Marks }[] = [];
  let bytes = 0;
  for (const row of rows) {
    const marks = marksOf(row);
    bytes += Buffer.byteLength(JSON.stringify(marks));
    if (page.length > 0 && bytes > searchBytesMax) break;
    page.push({ row, marks });
  }
  return page;
}

export type SearchPlace = "data" | "metadata";

function placesOf(searchIn: SearchIn): SearchPlace[] {
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

const columnsOf = (sql: Sql, place: SearchPlace): Columns =>
  place === "data"
    ? { words: sql`h.data_words`, text: sql`h.data_text` }
    : { words: sql`h.metadata_words`, text: sql`h.metadata_text` };

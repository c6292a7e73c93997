// A claim: its names, its row, its message. Statements name the table `claim` as `c`.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ClaimSchema } from "../../../gen/cortex/claims/v1/claims_pb.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import * as check from "../../validation/fields.js";
import type { Guard } from "../guard.js";

export interface ClaimRow {
  name: string;
  owner: string;
  value: string | null;
  user_id: string | null;
  agent_id: string | null;
  fence: string;
  acquired_at: Date;
  expires_at: Date;
}

export const columns = (sql: Sql): Fragment =>
  sql`c.name, c.owner, c.value::text as value, c.user_id, c.agent_id, c.fence, c.acquired_at, c.expires_at`;

/** The claim of that name, if it is held at the start of the statement. */
export const isHeld = (sql: Sql, tenant: string, name: string): Fragment =>
  sql`c.tenant = ${tenant} and c.name = ${name} and c.expires_at > statement_timestamp()`;

/** The claim's name in KeyLocks and on the bus. No namespace is empty, so it equals no other name. */
export const claimLockName = (tenant: string, name: string): string => `${tenant}\0\0\0\0\0${name}`;

export const parseHeld = (
  tenant: string,
  { name, fence }: { name: string; fence: string },
  prefix = "",
): Guard => ({
  tenant,
  name: check.claimName(name, `${prefix}name`),
  fence: check.fence(fence, `${prefix}fence`),
});

export const toClaim = (row: ClaimRow): MessageInitShape<typeof ClaimSchema> => ({
  name: row.name,
  owner: row.owner,
  fence: row.fence,
  acquireTime: timestampFromDate(row.acquired_at),
  expireTime: timestampFromDate(row.expires_at),
  ...(row.value !== null && { valueJson: row.value }),
  ...(row.user_id !== null && { userId: row.user_id }),
  ...(row.agent_id !== null && { agentId: row.agent_id }),
});

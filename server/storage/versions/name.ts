// The name of a record: a type and an id.
import { CortexError } from "../../errors/reasons.js";
import type { Caller } from "../../grpc/call.js";
import * as check from "../../validation/fields.js";
import { ownName } from "../../validation/scope.js";

export interface RecordName {
  tenant: string;
  type: string;
  id: string;
}

/**
 * The record that a request names. One of a reserved type is only for callers with the permission `admin`.
 */
export function parseName(caller: Caller, { type, id }: { type: string; id: string }): RecordName {
  const name = { tenant: caller.tenant, type: check.type(type), id: check.id(id) };
  checkReserved(caller, type, "type");
  return name;
}

export const isReserved = (type: string): boolean =>
  ownName(type).startsWith(check.reservedTypePrefix);

export function checkReserved(caller: Caller, type: string, field: string): void {
  if (!isReserved(type) || caller.may("admin")) return;
  const problem = `types that begin with ${check.reservedTypePrefix} need the permission admin`;
  throw new CortexError("PERMISSION_DENIED", { problem, permission: "admin", field });
}

/** The record's name in KeyLocks. Its second part is empty, so it never equals the name of an entry. */
export const recordLockName = (tenant: string, type: string, id: string): string =>
  `${tenant}\0\0${type}\0${id}`;

/** The name in KeyLocks of a type. A transaction that owns it lets nobody else create records of the type. */
export const typeLockName = (tenant: string, type: string): string => `${tenant}\0\0${type}`;

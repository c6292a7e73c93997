// What the requests and messages of both watches share.
import { ChangeKind } from "../../../gen/cortex/changes/v1/changes_pb.js";
import type { NameSelector } from "../../feed/watchers.js";
import * as check from "../../validation/fields.js";
import type { Sent } from "./watch.js";

type Field = [field: string, text: string | undefined];

/** The names that a request asks for: one, those with a prefix, or all. */
export function selectNames(
  [nameField, name]: Field,
  [prefixField, prefix]: Field,
): Pick<NameSelector, "name" | "prefix"> {
  check.exclusive(nameField, name !== undefined, prefixField, prefix !== undefined);
  return { name, prefix: prefix === undefined ? "" : check.filterText(prefix, prefixField) };
}

const kinds: Record<Sent["kind"], ChangeKind> = {
  set: ChangeKind.SET,
  delete: ChangeKind.DELETE,
  expire: ChangeKind.EXPIRE,
  purge: ChangeKind.PURGE,
  erase: ChangeKind.ERASE,
  erased: ChangeKind.UNSPECIFIED, // this and the next are not sent to watches
  publish: ChangeKind.UNSPECIFIED,
  current: ChangeKind.CURRENT,
};

export const kindOf = (kind: Sent["kind"]): ChangeKind => kinds[kind];

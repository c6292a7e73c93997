// The name of a record: the same in every RPC of one record.
import * as check from "../../validation/fields.js";

export interface Name {
  tenant: string;
  type: string;
  id: string;
}

export const nameOf = (tenant: string, { type, id }: { type: string; id: string }): Name => ({
  tenant,
  type: check.type(type),
  id: check.id(id),
});

// Checks that the methods of claims share.
import { CortexError, type ErrorCode } from "../core/error.js";

export const invalid = (field: string, problem: string, code: ErrorCode = "INVALID_OPTIONS") =>
  new CortexError(code, `${field} ${problem}`, { field, problem });

// Checks that the methods of claims share.
import { type ErrorCode, refused } from "../core/error.js";

export const invalid = (field: string, problem: string, code: ErrorCode = "INVALID_OPTIONS") =>
  refused(code, field, problem);

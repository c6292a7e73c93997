// Builds messages from a key, a value and its options (user, metadata, expiry).

import { CortexError } from "../core/error.js";
import { objectToJson, toJson } from "../core/json.js";
import { keyText, userIdText } from "../core/validate.js";
import type { EntryOptions } from "./options.js";

export const entryNames = ["userId", "metadata", "ttlSeconds"];

/** A key and its value. */
export const entryInit = (
  { key, value, ...given }: EntryOptions & { key: string; value: unknown },
  prefix = "",
) => ({ key: keyText(key, `${prefix}key`), ...setInit(value, given, prefix) });

/** A value with its user, metadata and expiry. */
export function setInit(
  value: unknown,
  { userId, metadata, ttlSeconds }: EntryOptions,
  prefix = "",
) {
  if (ttlSeconds !== undefined && typeof ttlSeconds !== "number")
    throw new CortexError("INVALID_TTL", `${prefix}ttlSeconds is not a number`, {
      field: `${prefix}ttlSeconds`,
    });
  return {
    valueJson: toJson(value, `${prefix}value`),
    ...(userId === null && { clearUserId: true }),
    ...(userId !== null &&
      userId !== undefined && { userId: userIdText(userId, `${prefix}userId`) }),
    ...(metadata === null && { clearMetadata: true }),
    ...(metadata !== null &&
      metadata !== undefined && { metadataJson: objectToJson(metadata, `${prefix}metadata`) }),
    ...(ttlSeconds !== undefined && { ttlSeconds }),
  };
}

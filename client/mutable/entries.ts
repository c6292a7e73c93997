// Builds messages from a key, a value and its options (user, metadata, expiry).

import { CortexError } from "../core/error.js";
import { type Json, objectToJson, toJson } from "../core/json.js";
import { keyText, userIdText } from "../core/validate.js";
import type { EntryOptions } from "./options.js";
import { metadataName, valueName } from "./records.js";

export const entryNames = ["userId", "metadata", "ttlSeconds"];

/** A key and its value. */
export const entryInit = (
  namespace: string,
  { key, value, ...given }: EntryOptions & { key: string; value: unknown },
  json: Json,
  prefix = "",
) => ({
  key: keyText(key, `${prefix}key`),
  ...setInit({ namespace, key }, value, given, json, prefix),
});

/** A value with its user, metadata and expiry. */
export function setInit(
  { namespace, key }: { namespace: string; key: string },
  value: unknown,
  { userId, metadata, ttlSeconds }: EntryOptions,
  json: Json,
  prefix = "",
) {
  if (ttlSeconds !== undefined && typeof ttlSeconds !== "number")
    throw new CortexError("INVALID_TTL", `${prefix}ttlSeconds is not a number`, {
      field: `${prefix}ttlSeconds`,
    });
  return {
    valueJson: toJson(value, `${prefix}value`, json.textsAt(valueName(namespace, key))),
    ...(userId === null && { clearUserId: true }),
    ...(userId !== null &&
      userId !== undefined && { userId: userIdText(userId, `${prefix}userId`) }),
    ...(metadata === null && { clearMetadata: true }),
    ...(metadata !== null &&
      metadata !== undefined && {
        metadataJson: objectToJson(
          metadata,
          `${prefix}metadata`,
          "INVALID_METADATA",
          json.textsAt(metadataName(namespace, key)),
        ),
      }),
    ...(ttlSeconds !== undefined && { ttlSeconds }),
  };
}

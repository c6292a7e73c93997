// Binary data: small as base64, large by reference.
import { createHash } from "node:crypto";
import { CortexError, refused } from "../core/error.js";
import { text } from "../core/validate.js";
import type { EntryOptions, SetOptions } from "../mutable/options.js";
import type { Surface } from "../scopes/scope.js";

const bytesMaxDefault = 512 * 1024; // base64 makes them a third longer, and an entry has 1 MiB

/** Where binary data is that the store does not hold. */
export interface BinaryReference {
  /** Where it is, such as `s3://bucket/key`. */
  url: string;
  mimeType: string;
  /** Its size in bytes. */
  size: number;
  /** SHA-256 of the data, in hexadecimal, so that a reader can check it. */
  sha256: string;
}

export interface Binary {
  bytes: Buffer;
  mimeType: string;
}

export interface BinaryOptions extends EntryOptions, Pick<SetOptions, "claim" | "requestId"> {
  /** The most bytes to store. Default: 512 KiB. */
  maxBytes?: number | undefined;
}

/**
 * Stores binary data as `{ data, mime_type, size, sha256 }`, in base64.
 *
 * @throws CortexError VALUE_TOO_LARGE above `maxBytes`: store the data elsewhere, and its place with `putReference`.
 */
export async function putBinary(
  cortex: Surface,
  namespace: string,
  key: string,
  bytes: Uint8Array,
  mimeType: string,
  { maxBytes = bytesMaxDefault, ...options }: BinaryOptions = {},
): Promise<void> {
  if (!(bytes instanceof Uint8Array))
    throw refused("INVALID_VALUE", "bytes", "is not a Uint8Array");
  if (bytes.byteLength > maxBytes)
    throw new CortexError(
      "VALUE_TOO_LARGE",
      `bytes has ${bytes.byteLength} bytes, and the limit is ${maxBytes}: store the data elsewhere, and its place with putReference`,
      { field: "bytes", limit: `${maxBytes}`, got: `${bytes.byteLength}` },
    );
  const value = {
    data: Buffer.from(bytes).toString("base64"),
    mime_type: text(mimeType, "mimeType", "INVALID_VALUE"),
    size: bytes.byteLength,
    sha256: digestOf(bytes),
  };
  await cortex.mutable.set(namespace, key, value, options);
}

/**
 * Reads binary data; null if the key does not exist.
 *
 * @throws CortexError INVALID_VALUE if the key holds something else, such as a reference, or if the data is damaged.
 */
export async function getBinary(
  cortex: Surface,
  namespace: string,
  key: string,
): Promise<Binary | null> {
  const value = await cortex.mutable.get(namespace, key);
  if (value === null) return null;
  if (typeof value !== "object" || typeof value.data !== "string")
    throw refused("INVALID_VALUE", key, "holds no binary data");
  const bytes = Buffer.from(value.data, "base64");
  if (value.sha256 !== undefined && value.sha256 !== digestOf(bytes))
    throw refused("INVALID_VALUE", key, "holds binary data that is damaged");
  return { bytes, mimeType: value.mime_type };
}

/** Stores where binary data is, as `{ url, mime_type, size, sha256 }`. */
export async function putReference(
  cortex: Surface,
  namespace: string,
  key: string,
  { url, mimeType, size, sha256 }: BinaryReference,
  options: EntryOptions = {},
): Promise<void> {
  if (!Number.isSafeInteger(size) || size < 0)
    throw refused("INVALID_VALUE", "size", `is not a number of bytes: ${size}`);
  if (!/^[0-9a-f]{64}$/.test(text(sha256, "sha256", "INVALID_VALUE")))
    throw refused("INVALID_VALUE", "sha256", "is not a SHA-256 in hexadecimal");
  const value = {
    url: text(url, "url", "INVALID_VALUE"),
    mime_type: text(mimeType, "mimeType", "INVALID_VALUE"),
    size,
    sha256,
  };
  await cortex.mutable.set(namespace, key, value, options);
}

/** Reads where binary data is; null if the key does not exist. Throws INVALID_VALUE if it holds something else. */
export async function getReference(
  cortex: Surface,
  namespace: string,
  key: string,
): Promise<BinaryReference | null> {
  const value = await cortex.mutable.get(namespace, key);
  if (value === null) return null;
  if (typeof value !== "object" || typeof value.url !== "string")
    throw refused("INVALID_VALUE", key, "holds no reference");
  return { url: value.url, mimeType: value.mime_type, size: value.size, sha256: value.sha256 };
}

const digestOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

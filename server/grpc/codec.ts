// Decodes requests.
import type { DescMessage } from "@bufbuild/protobuf";
import { decode as decodeMessage } from "../../wire/codec.js";
import { CortexError } from "../errors/reasons.js";

/**
 * Decodes a request. If it cannot, it returns the reason and does not throw it, because grpc-js would answer
 * INTERNAL to an error thrown here. So the handler gets the reason in place of the message.
 */
export function decode(schema: DescMessage, bytes: Buffer, bytesMax: number): unknown {
  if (bytes.length > bytesMax)
    return new CortexError("MESSAGE_TOO_LARGE", { limit: `${bytesMax}`, got: `${bytes.length}` });
  try {
    return decodeMessage(schema, bytes);
  } catch (error) {
    const problem = error instanceof Error ? error.message : "it is not a message";
    return new CortexError("MALFORMED_REQUEST", { problem });
  }
}

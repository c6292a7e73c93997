// Reflection serves every file that a request or an error needs, those of options too.
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { services } from "../../server/services.js";
import { serve } from "../support/server.js";

const s = serve();
let client: Client;
beforeAll(() => {
  client = new Client(s.address, credentials.createInsecure());
});
afterAll(() => client.close());

/** What ServerReflectionInfo answers to file_by_filename, field 3 of its request. */
function fileByName(name: string): Promise<string> {
  const same = (bytes: Buffer) => bytes;
  const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
  const stream = client.makeBidiStreamRequest(path, same, same, new Metadata());
  return new Promise((resolve, reject) => {
    stream.on("data", (bytes: Buffer) => resolve(bytes.toString("latin1"))).on("error", reject);
    stream.write(Buffer.concat([Buffer.from([0x1a, name.length]), Buffer.from(name)]));
    stream.end();
  });
}

it.each([
  ["google/protobuf/descriptor.proto", "FieldOptions"],
  ["cortex/options/v1/options.proto", "REACH_NAMESPACE"],
  ["cortex/error/v1/error.proto", "ERROR_REASON_KEY_NOT_FOUND"],
  ["google/rpc/error_details.proto", "ErrorInfo"],
  ["grpc/health/v1/health.proto", "Health"],
  ...services.map(({ descriptor: { file, name } }) => [`${file.name}.proto`, name]),
])("serves %s", async (name, content) => {
  expect(await fileByName(name)).toContain(content);
});

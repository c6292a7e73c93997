// Checks that reflection serves every proto file that a request or an error needs, exactly as it was compiled
// and with its custom options.
import type { DescFile } from "@bufbuild/protobuf";
import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, file_google_protobuf_descriptor } from "@bufbuild/protobuf/wkt";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { file_cortex_error_v1_error } from "../../gen/cortex/error/v1/error_pb.js";
import { file_cortex_options_v1_options } from "../../gen/cortex/options/v1/options_pb.js";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.js";
import { file_grpc_health_v1_health } from "../../gen/grpc/health/v1/health_pb.js";
import { services } from "../../server/services.js";
import { serve } from "../support/server.js";

const s = serve();
let client: Client;
beforeAll(() => {
  client = new Client(s.address, credentials.createInsecure());
});
afterAll(() => client.close());

const versions = ["v1", "v1alpha"];
const fileByFilename = 0x1a; // field 3, length-delimited
const fileContainingExtension = 0x2a; // field 5

/** The answer of ServerReflectionInfo to one field of a request. */
function ask(version: string, tag: number, content: Buffer): Promise<Buffer> {
  const same = (bytes: Buffer) => bytes;
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
  const stream = client.makeBidiStreamRequest(path, same, same, new Metadata());
  return new Promise((resolve, reject) => {
    stream.on("data", resolve).on("error", reject);
    stream.end(Buffer.concat([Buffer.from([tag, content.length]), content]));
  });
}

/** The file as the compiler made it. */
const compiled = ({ proto }: DescFile) => Buffer.from(toBinary(FileDescriptorProtoSchema, proto));

const files = [
  file_google_protobuf_descriptor,
  file_cortex_options_v1_options,
  file_cortex_error_v1_error,
  file_google_rpc_error_details,
  file_grpc_health_v1_health,
  ...services.map(({ descriptor }) => descriptor.file),
];

it.each(files.flatMap((file) => versions.map((version) => ({ file, version }))))(
  "$version serves $file.name as it was compiled",
  async ({ file, version }) => {
    const answer = await ask(version, fileByFilename, Buffer.from(file.proto.name));
    expect(answer.includes(compiled(file))).toBe(true);
  },
);

it.each(versions)("%s finds the file of a custom option", async (version) => {
  const type = Buffer.from("google.protobuf.FieldOptions");
  const number = Buffer.from([0x10, 0xd1, 0x86, 0x03]); // field 2: 50001, `reach`
  const request = Buffer.concat([Buffer.from([0x0a, type.length]), type, number]);
  const answer = await ask(version, fileContainingExtension, request);
  expect(answer.includes(compiled(file_cortex_options_v1_options))).toBe(true);
});

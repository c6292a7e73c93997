import { fromBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { Retention } from "../../server/config/retention.js";
import { proxyThatCutsTheEnd } from "../support/proxy.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({ retention: new Retention(-1, new Map([["few", 2]])) });
const numbers = (versions: { version: number }[]) => versions.map(({ version }) => version);
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

async function streamed(id: string) {
  const versions = [];
  for await (const version of s.cortex.immutable.historyStream("t", id)) versions.push(version);
  return versions;
}

it("gives all versions, ascending, the current one included, at once or as a stream", async () => {
  expect(await s.cortex.immutable.getHistory("t", "none")).toEqual([]);
  expect(await streamed("none")).toEqual([]);
  for (let n = 1; n <= 250; n++)
    await s.cortex.immutable.store({ type: "t", id: "a", data: { n } }, { includeHistory: false });
  const history = await s.cortex.immutable.getHistory("t", "a");
  expect(numbers(history)).toEqual(upTo(250));
  expect(history.map(({ data }) => data.n)).toEqual(upTo(250));
  expect(await streamed("a")).toEqual(history);
});

it("sends large versions in messages of about 1 MiB", async () => {
  for (let n = 1; n <= 6; n++)
    await s.cortex.immutable.store(
      { type: "t", id: "large", data: { t: "x".repeat(600_000) } },
      { includeHistory: false },
    );
  const sizes: number[] = [];
  const raw = new Raw(s.address);
  const { getHistory } = ImmutableStore.method;
  await new Promise((resolve, reject) =>
    raw.client
      .makeServerStreamRequest(
        `/${ImmutableStore.typeName}/GetHistory`,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.from([0x0a, 1, 0x74, 0x12, 5, ...Buffer.from("large")]),
      )
      .on("data", (bytes: Buffer) => sizes.push(bytes.length))
      .on("error", reject)
      .on("end", resolve),
  );
  expect(getHistory.methodKind).toBe("server_streaming");
  expect(sizes).toHaveLength(3);
  expect(Math.max(...sizes)).toBeLessThan(2.2 * 1024 * 1024);
  expect(numbers(await streamed("large"))).toEqual(upTo(6));
  raw.close();
});

it("can be left early, and continues after the last version received if the connection breaks", async () => {
  for await (const { version } of s.cortex.immutable.historyStream("t", "a"))
    if (version === 5) break;
  // The encoded request: type "t", id "a", after version 249.
  const after = Buffer.from([0x0a, 1, 0x74, 0x12, 1, 0x61, 0x18, 0xf9, 0x01]);
  const raw = new Raw(s.address);
  const last = await raw.bytes(ImmutableStore.method.getHistory, after);
  const { output } = ImmutableStore.method.getHistory;
  expect(numbers(fromBinary(output, last as Buffer).versions)).toEqual([250]);
  raw.close();
  const cut = s.client({ address: `127.0.0.1:${await proxyThatCutsTheEnd(s.address)}` });
  const seen: number[] = [];
  for await (const { version } of cut.immutable.historyStream("t", "a")) seen.push(version);
  expect(seen).toEqual(upTo(250));
});

it("begins with the oldest version that retention keeps", async () => {
  for (let n = 1; n <= 5; n++)
    await s.cortex.immutable.store({ type: "few", id: "a", data: { n } });
  expect(numbers(await s.cortex.immutable.getHistory("few", "a"))).toEqual([4, 5]);
});

it("refuses bad names", async () => {
  await expect(s.cortex.immutable.getHistory("", "a")).toFailWith("INVALID_TYPE");
  await expect(streamed("")).toFailWith("INVALID_ID");
});

// A program that increments a counter by raw Commits. Arguments: ADDRESS NAMESPACE KEY CALLERS ROUNDS.
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Raw } from "./raw.js";

const [address = "", namespace = "", key = "", callers, rounds] = process.argv.slice(2);
const raw = new Raw(address);
const operations = [{ namespace, key, operation: { case: "increment" as const, value: {} } }];
await Promise.all(
  Array.from({ length: Number(callers) }, async () => {
    for (let i = 0; i < Number(rounds); i++) {
      const reply = await raw.call(MutableStore.method.commit, { operations });
      if (!("results" in reply)) throw new Error(JSON.stringify(reply));
    }
  }),
);
raw.close();

// A client process that locks keys in a transaction and keeps them: ADDRESS KEY… It says "held" once it has them.
import { RawTransaction } from "./raw.js";

const [address = "", ...keys] = process.argv.slice(2);
const transaction = new RawTransaction(address);
await transaction.ask({ case: "begin", value: {} });
await transaction.ask({
  case: "read",
  value: { keys: keys.map((key) => ({ namespace: "ns", key })) },
});
console.log("held");
setInterval(
  () =>
    transaction.send({ case: "read", value: { keys: [{ namespace: "ns", key: keys[0] ?? "" }] } }),
  500,
);

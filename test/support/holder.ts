// A client program that locks keys in a transaction and keeps them locked. Arguments: ADDRESS KEY… It prints
// "held" once it has the locks.
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

// A demo: a grocery chain whose stores share their state. Run it with npm run demo. It uses the server at
// CORTEX_ADDRESS (127.0.0.1:50051 by default), or starts one.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { Cortex, CortexError } from "../client/index.js";

interface Item {
  quantity: number;
  unit: string;
  price: number;
}

const stopServer = await serverOrStart();
const cortex = new Cortex({ tenantId: "demo", agentId: "grocery-demo" });
const { mutable, immutable } = cortex;
try {
  await demo();
} finally {
  await cortex.close();
  await stopServer();
}

async function demo() {
  title("Opening three stores");
  const seed: Record<string, Item> = {};
  for (const store of ["store-1", "store-15", "store-23"]) {
    seed[`${store}:produce:apples`] = { quantity: 150, unit: "lbs", price: 2.99 };
    seed[`${store}:produce:bananas`] = { quantity: 200, unit: "lbs", price: 1.49 };
    seed[`${store}:dairy:milk`] = {
      quantity: store === "store-15" ? 25 : 50,
      unit: "gallons",
      price: 4.99,
    };
  }
  await mutable.purgeNamespace("inventory");
  await mutable.setMany("inventory", seed);
  await mutable.set("chain", "metadata", {
    name: "Fresh Foods",
    storeIds: ["store-1", "store-15", "store-23"],
  });
  await mutable.set("metrics", "store-15:revenue", 0);
  say(`${await mutable.count("inventory")} items in stock, stored in one atomic call`);

  title("Forty customers at once buy a pound of apples, at 49.99 a basket");
  await Promise.all(
    Array.from({ length: 40 }, async () => {
      await mutable.update<Item>("inventory", "store-15:produce:apples", (item) => ({
        ...item,
        quantity: item.quantity - 1,
      }));
      await mutable.increment("metrics", "store-15:revenue", 49.99);
    }),
  );
  const apples = await mutable.get<Item>("inventory", "store-15:produce:apples");
  say(`apples left: ${apples?.quantity} of 150, none sold twice`);
  say(`revenue: ${await mutable.get("metrics", "store-15:revenue")}, exact to the cent`);

  title("A customer wants more milk than there is");
  try {
    await mutable.update<Item>("inventory", "store-15:dairy:milk", (item) => {
      if (item.quantity < 60) throw new Error(`only ${item.quantity} ${item.unit} left`);
      return { ...item, quantity: item.quantity - 60 };
    });
  } catch (error) {
    if (!(error instanceof CortexError)) throw error;
    say(`${error.code}: ${error.message}; nothing was written`);
  }
  await mutable.update<Item>("inventory", "store-15:dairy:milk", (item) => ({
    ...item,
    quantity: item.quantity - 8,
  }));

  title("Two managers change one price; the slower one is told");
  const before = await mutable.getRecord<Item>("inventory", "store-1:dairy:milk");
  if (!before) throw new Error("no milk");
  const price = (to: number) =>
    mutable.set(
      "inventory",
      "store-1:dairy:milk",
      { ...before.value, price: to },
      { ifRevision: before.revision },
    );
  say(`first: ${(await price(5.49)).value.price}`);
  say(
    `second: ${await price(4.79).catch((error: CortexError) => `${error.code}: ${error.message}`)}`,
  );

  title("Stock of the chain, by prefix");
  const totals = new Map<string, number>();
  const chain = await mutable.get("chain", "metadata");
  for (const storeId of chain.storeIds)
    for await (const { key, value } of mutable.scan<Item>("inventory", {
      keyPrefix: `${storeId}:`,
    })) {
      const name = key.split(":")[2] ?? key;
      totals.set(name, (totals.get(name) ?? 0) + value.quantity);
    }
  for (const [name, quantity] of totals) say(`${name.padEnd(8)} ${String(quantity).padStart(5)}`);

  title("Low stock (below 25)");
  const { records } = await mutable.list<Item>("inventory", { keyPrefix: "store-15:" });
  for (const { key, value } of records.filter(({ value }) => value.quantity < 25))
    say(`${key}: ${value.quantity} ${value.unit} remaining`);

  title("A delivery slot, held for two seconds by whoever comes first");
  const reserve = (agent: string) =>
    mutable.set("slots", "store-15:dock-1", { agent }, { ifAbsent: true, ttlSeconds: 2 }).then(
      () => `${agent} has it`,
      (error: CortexError) => `${agent}: ${error.code}`,
    );
  await mutable.delete("slots", "store-15:dock-1");
  for (const line of await Promise.all([reserve("truck-a"), reserve("truck-b")])) say(line);

  title("A refund policy that changes, and stays");
  await immutable.purge("policy", "max-refund");
  const opened = new Date();
  for (const [value, reason] of [
    [2000, "As the chain opened"],
    [5000, "Increased from $2000 for customer satisfaction"],
  ] as const)
    await immutable.store({
      type: "policy",
      id: "max-refund",
      data: { value, reason, currency: "USD" },
      metadata: { publishedBy: "ceo-agent", tags: ["policy", "refunds"], importance: 100 },
    });
  const history = await immutable.getHistory("policy", "max-refund");
  for (const { version, data } of history)
    say(`version ${version}: $${data.value} (${data.reason})`);

  title("What was the refund policy on January 1st? And when the second version came?");
  for (const day of [new Date(opened.getFullYear(), 0, 1), history[1]?.createdAt ?? opened]) {
    const policy = await immutable.getAtTimestamp("policy", "max-refund", day);
    say(`${day.toISOString()}: ${policy ? `$${policy.data.value}` : "there was none yet"}`);
  }

  title("Who knows why it was increased?");
  for (const { record, score, highlights } of await immutable.search("increasing customers"))
    say(`${record.type}/${record.id} (${score.toFixed(2)}): ${highlights[0]?.text}`);

  title("A refund and its audit record, together or not at all");
  await mutable.transaction((tx) => {
    tx.update<number>("metrics", "store-15:revenue", (revenue) => revenue - 49.99);
    tx.store({
      type: "audit-log",
      id: "refund-1",
      data: { action: "REFUND_APPROVED", amount: 49.99, reason: "Bruised apples" },
    });
  });
  const { valid, currentVersion } = await immutable.verifyHistory("audit-log", "refund-1");
  say(`revenue: ${await mutable.get("metrics", "store-15:revenue")}`);
  say(`audit-log/refund-1 version ${currentVersion}, ${valid ? "unaltered" : "ALTERED"}`);

  title("The inventory is backed up, lost, and restored");
  const backupId = await backup("inventory");
  say(`lost: ${(await mutable.purgeNamespace("inventory")).deleted} items`);
  await restore(backupId);
  say(`restored: ${await mutable.count("inventory")} items`);

  title("What is stored");
  for (const { namespace, keys, bytes } of await mutable.listNamespaces())
    say(
      `${namespace.padEnd(10)} ${String(keys).padStart(3)} keys ${String(bytes).padStart(6)} bytes`,
    );
}

/** Stores all entries of a namespace as one record. It uses a scan, because a list stops at its limit. */
async function backup(namespace: string): Promise<string> {
  const data: Record<string, unknown> = {};
  for await (const { key, value } of mutable.scan(namespace)) data[key] = value;
  const { id } = await immutable.store({
    type: "mutable-backup",
    id: `${namespace}-backup`,
    data: { namespace, timestamp: new Date(), data },
  });
  return id;
}

async function restore(backupId: string): Promise<void> {
  const backup = await immutable.get("mutable-backup", backupId);
  if (!backup) throw new Error(`there is no backup ${backupId}`);
  await mutable.setMany(backup.data.namespace, backup.data.data);
}

function title(text: string) {
  console.log(`\n${text}`);
}
function say(text: string) {
  console.log(`  ${text}`);
}

/** Makes sure that a server answers. Returns a function that stops the server if it was started here. */
async function serverOrStart(): Promise<() => Promise<void>> {
  await using probe = new Cortex({ timeoutMs: 500 });
  try {
    await probe.mutable.exists("probe", "probe");
    return async () => {};
  } catch (error) {
    if (!(error instanceof CortexError) || error.code !== "UNAVAILABLE") throw error;
  }
  const main = join(import.meta.dirname, "..", "server", "dist", "server", "main.js");
  const address = process.env.CORTEX_ADDRESS ?? "127.0.0.1:50051";
  const server = spawn(process.execPath, [main, "--listen", address, "--log-level", "warn"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve) => server.once("exit", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    server.stdout.once("data", (line: Buffer) => {
      process.stdout.write(line);
      resolve();
    });
    server.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
  }).catch(() => process.exit(1)); // the server has printed the reason
  return async () => {
    server.kill("SIGTERM");
    await ended;
  };
}

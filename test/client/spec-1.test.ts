// Runs the examples of spec/1 that call cortex.mutable, as they are written there. (transaction.test.ts has
// those of `transaction()`.)
import { describe, expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();
const get = () => s.cortex;
const at = (text: string) => new Date(text);

describe("core operations", () => {
  it("set: system data, then data of a user", async () => {
    const cortex = get();
    const record = await cortex.mutable.set("inventory", "widget-qty", 100);
    expect([record.value, record.userId]).toEqual([100, undefined]);
    await cortex.mutable.set("inventory", "widget-qty", 95);
    await cortex.users.create("user-123");
    const session = await cortex.mutable.set(
      "user-sessions",
      "session-abc123",
      { startedAt: new Date(), lastActivity: new Date(), pagesViewed: 5 },
      "user-123",
    );
    expect(session.userId).toBe("user-123");
  });

  it("get, exists", async () => {
    const cortex = get();
    const qty = await cortex.mutable.get("inventory", "widget-qty");
    if (qty !== null && qty > 0) expect(qty).toBe(95);
    if (await cortex.mutable.exists("inventory", "widget-qty"))
      expect(await cortex.mutable.get("inventory", "widget-qty")).toBe(95);
    else await cortex.mutable.set("inventory", "widget-qty", 100);
  });

  it("update: decrement with a guard, counter, object", async () => {
    const cortex = get();
    const decrement = () =>
      cortex.mutable.update("inventory", "widget-qty", (current) => {
        if (current === null || current <= 0) throw new Error("Out of stock");
        return current - 1;
      });
    expect((await decrement()).value).toBe(94);
    await cortex.mutable.set("inventory", "widget-qty", 0);
    await expect(decrement()).toFailWith("UPDATE_FAILED");
    await cortex.mutable.set("counters", "total-refunds", null);
    const counter = await cortex.mutable.update(
      "counters",
      "total-refunds",
      (current) => (current || 0) + 1,
    );
    expect(counter.value).toBe(1);
    await cortex.mutable.set("config", "api-settings", { retries: 3 });
    const settings = await cortex.mutable.update("config", "api-settings", (current) => {
      return { ...current, endpoint: "https://api.example.com/v2", timeout: 30000 };
    });
    expect(settings.value).toEqual({
      retries: 3,
      endpoint: "https://api.example.com/v2",
      timeout: 30000,
    });
  });

  it("delete", async () => {
    const cortex = get();
    await cortex.mutable.set("inventory", "discontinued-widget", 1);
    const result = await cortex.mutable.delete("inventory", "discontinued-widget");
    expect(`Deleted: ${result.deleted}`).toBe("Deleted: true");
  });

  it("list and count", async () => {
    const cortex = get();
    await cortex.mutable.set("inventory", "widget-blue", 7);
    const items = await cortex.mutable.list("inventory", { sortBy: "key", limit: 100 });
    const lines: string[] = [];
    items.records.forEach((item) => {
      lines.push(`${item.key}: ${item.value}`);
    });
    expect(lines).toEqual(["widget-blue: 7", "widget-qty: 0"]);
    const widgets = await cortex.mutable.list("inventory", { keyPrefix: "widget-" });
    expect(widgets.records).toHaveLength(2);
    expect(await cortex.mutable.count("inventory")).toBe(2);
    const updated = await cortex.mutable.count("inventory", {
      updatedAfter: new Date(Date.now() - 24 * 60 * 60 * 1000),
    });
    expect(updated).toBe(2);
  });
});

describe("namespaces and values", () => {
  it("the common namespaces", async () => {
    const cortex = get();
    await cortex.mutable.set("inventory", "product-x", 150);
    await cortex.mutable.update("inventory", "product-x", (qty) => qty - 1);
    await cortex.mutable.set("config", "api-endpoint", "https://api.example.com/v2");
    await cortex.mutable.set("config", "max-retries", 3);
    await cortex.mutable.set("counters", "total-requests", 0);
    await cortex.mutable.update("counters", "total-requests", (n) => (n || 0) + 1);
    await cortex.mutable.set("counters", "active-users", 1);
    await cortex.mutable.update("counters", "active-users", (n) => n + 1);
    await cortex.mutable.set("docs", "changelog-url", "https://docs.example.com/changelog");
    await cortex.mutable.set("state", "agents-available", ["agent-4"]);
    await cortex.mutable.update("state", "agents-available", (list) => [...list, "agent-5"]);
    expect(await cortex.mutable.get("state", "agents-available")).toEqual(["agent-4", "agent-5"]);
  });

  it("objects, arrays, nested structures", async () => {
    const cortex = get();
    await cortex.mutable.set("config", "email-settings", {
      smtp: { host: "smtp.example.com", port: 587, secure: true },
      from: "noreply@example.com",
    });
    const emailConfig = await cortex.mutable.get("config", "email-settings");
    expect(emailConfig.smtp.port).toBe(587);
    await cortex.mutable.set("inventory", "featured-products", [
      { id: "prod-1", price: 19.99, stock: 150 },
      { id: "prod-2", price: 29.99, stock: 75 },
    ]);
    await cortex.mutable.update("inventory", "featured-products", (products) => {
      return products.map((p: { id: string; stock: number }) =>
        p.id === "prod-1" ? { ...p, stock: p.stock - 1 } : p,
      );
    });
    expect((await cortex.mutable.get("inventory", "featured-products"))[0].stock).toBe(149);
  });
});

describe("hierarchies", () => {
  it("keys, namespaces and nested objects", async () => {
    const cortex = get();
    await cortex.mutable.set("grocery-stores", "store-15:inventory:produce:apples", {
      quantity: 150,
    });
    await cortex.mutable.set("grocery-stores", "store-15:inventory:produce:bananas", {
      quantity: 200,
    });
    await cortex.mutable.set("grocery-stores", "store-15:inventory:dairy:milk", { quantity: 50 });
    const listByPrefix = (namespace: string, ...prefixParts: string[]) =>
      cortex.mutable.list(namespace, { keyPrefix: prefixParts.join(":") });
    expect((await listByPrefix("grocery-stores", "store-15", "inventory", "produce")).total).toBe(
      2,
    );
    expect((await listByPrefix("grocery-stores", "store-15", "inventory")).total).toBe(3);
    await cortex.mutable.set("grocery-stores:store-15:metrics", "daily-revenue", 12500);
    expect((await cortex.mutable.list("grocery-stores:store-15:metrics")).records[0]?.value).toBe(
      12500,
    );

    await cortex.mutable.set("grocery-stores", "store-15", {
      inventory: {
        produce: { apples: { quantity: 150, price: 2.99 } },
        dairy: { milk: { quantity: 50 } },
      },
    });
    const updateNested = (storeId: string, department: string, item: string, updates: object) =>
      cortex.mutable.update("grocery-stores", storeId, (store) => ({
        ...store,
        inventory: {
          ...store.inventory,
          [department]: {
            ...store.inventory[department],
            [item]: { ...store.inventory[department][item], ...updates },
          },
        },
      }));
    const updated = await updateNested("store-15", "produce", "apples", { quantity: 140 });
    expect(updated.value.inventory).toEqual({
      produce: { apples: { quantity: 140, price: 2.99 } },
      dairy: { milk: { quantity: 50 } },
    });
  });

  it("the grocery chain: reports, one item across stores, low stock", async () => {
    const cortex = get();
    await cortex.mutable.set("chain", "metadata", {
      name: "Fresh Foods Chain",
      storeIds: ["store-1", "store-15"],
    });
    await cortex.mutable.set("stock", "store-15:produce:apples", {
      quantity: 150,
      unit: "lbs",
      lastRestocked: new Date(),
    });
    await cortex.mutable.set("stock", "store-15:dairy:milk", { quantity: 12, unit: "gallons" });
    await cortex.mutable.set("stock", "store-1:produce:apples", { quantity: 30, unit: "lbs" });
    await cortex.mutable.update("stock", "store-15:produce:apples", (item) => {
      if (item.quantity < 10) throw new Error("Insufficient stock");
      return { ...item, quantity: item.quantity - 10 };
    });
    const chain = await cortex.mutable.get("chain", "metadata");
    const inventory: Record<string, number> = {};
    for (const storeId of chain.storeIds) {
      const items = await cortex.mutable.list("stock", { keyPrefix: `${storeId}:produce:` });
      items.records.forEach((record) => {
        const itemName = record.key.split(":").pop() ?? "";
        inventory[itemName] = (inventory[itemName] || 0) + record.value.quantity;
      });
    }
    expect(inventory).toEqual({ apples: 170 });
    const allApples = await cortex.mutable.list("stock", { keyPrefix: "store-" });
    expect(allApples.records.filter((r) => r.key.endsWith(":apples"))).toHaveLength(2);
    const lowStock = allApples.records.filter((item) => item.value.quantity < 25);
    expect(lowStock.map((item) => item.key)).toEqual(["store-15:dairy:milk"]);
  });
});

describe("transactions in the examples", () => {
  it("a purchase of several items, and a store's metrics", async () => {
    const cortex = get();
    const keys = ["apples", "bananas"].map((item) => `store-15:produce:${item}`);
    for (const key of [...keys, "store-15:dairy:milk"])
      await cortex.mutable.set("shop", key, { quantity: 50, unit: "lbs" });
    await cortex.mutable.set("shop-metrics", "store-15-daily", { revenue: 0, transactions: 0 });
    await cortex.mutable.transaction(async (tx) => {
      tx.update("shop", "store-15:produce:apples", (item) => ({
        ...item,
        quantity: item.quantity - 5,
      }));
      tx.update("shop", "store-15:produce:bananas", (item) => ({
        ...item,
        quantity: item.quantity - 3,
      }));
      tx.update("shop", "store-15:dairy:milk", (item) => ({
        ...item,
        quantity: item.quantity - 2,
      }));
      tx.update("shop-metrics", "store-15-daily", (metrics) => ({
        ...metrics,
        revenue: metrics.revenue + 67.5,
        transactions: metrics.transactions + 1,
        lastUpdated: new Date(),
      }));
    });
    const [apples, bananas] = await cortex.mutable.getMany("shop", keys);
    expect([apples, bananas]).toEqual([
      { quantity: 45, unit: "lbs" },
      { quantity: 47, unit: "lbs" },
    ]);
    expect(await cortex.mutable.get("shop-metrics", "store-15-daily")).toMatchObject({
      revenue: 67.5,
      transactions: 1,
    });
  });

  it("a department restocked in a loop", async () => {
    const cortex = get();
    await cortex.mutable.setMany("restock", {
      "store-15:produce:apples": { quantity: 1 },
      "store-15:produce:bananas": { quantity: 2 },
    });
    async function restockDepartment(
      storeId: string,
      department: string,
      items: Record<string, number>,
    ) {
      await cortex.mutable.transaction(async (tx) => {
        for (const [itemName, quantity] of Object.entries(items)) {
          const key = `${storeId}:${department}:${itemName}`;
          tx.update("restock", key, (current) => ({
            ...current,
            quantity: current.quantity + quantity,
            lastRestocked: new Date(),
          }));
        }
      });
    }
    await restockDepartment("store-15", "produce", { apples: 100, bananas: 150 });
    const { records } = await cortex.mutable.list("restock");
    expect(records.map(({ value }) => value.quantity)).toEqual([101, 152]);
  });
});

describe("practices", () => {
  it("initialise before use, and type-safe helpers", async () => {
    const cortex = get();
    async function getOrInitialize(namespace: string, key: string, defaultValue: unknown) {
      const value = await cortex.mutable.get(namespace, key);
      if (value === null) {
        await cortex.mutable.set(namespace, key, defaultValue);
        return defaultValue;
      }
      return value;
    }
    expect(await getOrInitialize("inventory", "new-product", 0)).toBe(0);
    interface InventoryItem {
      quantity: number;
      lastRestocked: Date;
    }
    async function setInventoryItem(key: string, data: InventoryItem): Promise<void> {
      await cortex.mutable.set("typed", key, data);
    }
    async function getInventoryItem(key: string): Promise<InventoryItem | null> {
      return await cortex.mutable.get("typed", key);
    }
    await setInventoryItem("apples", { quantity: 150, lastRestocked: new Date() });
    const apples = await getInventoryItem("apples");
    if (apples) expect(apples.quantity).toBe(150);
  });

  it("a workflow's transitions", async () => {
    const cortex = get();
    await cortex.mutable.set("workflows", "refund-request-12345", {
      status: "in-progress",
      createdAt: new Date(),
      order: { amount: 299.99, purchaseDate: at("2025-10-15") },
      workflow: {
        completedSteps: ["initiated"],
        pendingSteps: ["manager-approval", "payment-processing"],
      },
    });
    await cortex.mutable.update("workflows", "refund-request-12345", (workflow) => ({
      ...workflow,
      status: "approved",
      workflow: {
        completedSteps: [...workflow.workflow.completedSteps, "manager-approval"],
        pendingSteps: workflow.workflow.pendingSteps.filter(
          (step: string) => step !== "manager-approval",
        ),
      },
    }));
    const done = await cortex.mutable.update("workflows", "refund-request-12345", (workflow) => {
      if (workflow.status !== "approved") throw new Error("Workflow not approved");
      return { ...workflow, status: "completed", completedAt: new Date() };
    });
    expect(done.value).toMatchObject({
      status: "completed",
      workflow: { pendingSteps: ["payment-processing"] },
    });
  });

  it("a thousand increments of one counter", async () => {
    const cortex = get();
    await cortex.mutable.set("counters", "page-views", 0);
    for (let i = 0; i < 1000; i++)
      await cortex.mutable.update("counters", "page-views", (n) => n + 1);
    expect(await cortex.mutable.get("counters", "page-views")).toBe(1000);
  }, 120_000);

  it("a backup of a namespace", async () => {
    const cortex = get();
    await cortex.mutable.setMany("backed-up", { a: 1, b: { c: 2 } });
    const all = await cortex.mutable.list("backed-up");
    const data = all.records.reduce(
      (acc, record) => {
        acc[record.key] = record.value;
        return acc;
      },
      {} as Record<string, unknown>,
    );
    await cortex.mutable.purgeNamespace("backed-up");
    for (const [key, value] of Object.entries(data))
      await cortex.mutable.set("backed-up", key, value);
    expect(await cortex.mutable.getMany("backed-up", ["a", "b"])).toEqual([1, { c: 2 }]);
  });
});

describe("purging", () => {
  it("purge, purgeNamespace, purgeMany", async () => {
    const cortex = get();
    await cortex.mutable.set("inventory", "discontinued-product", 1);
    expect((await cortex.mutable.purge("inventory", "discontinued-product")).deleted).toBe(true);
    await cortex.mutable.setMany("old-config", { a: 1, b: 2 });
    const preview = await cortex.mutable.purgeNamespace("old-config", { dryRun: true });
    expect(`Would delete ${preview.keysDeleted} keys`).toBe("Would delete 2 keys");
    const result = await cortex.mutable.purgeNamespace("old-config");
    expect(`Deleted ${result.keysDeleted} keys`).toBe("Deleted 2 keys");
    await cortex.mutable.set("cache", "fresh", 1);
    const days = (n: number) => new Date(Date.now() - n * 24 * 60 * 60 * 1000);
    expect((await cortex.mutable.purgeMany("cache", { updatedBefore: days(30) })).deleted).toBe(0);
    expect(
      (await cortex.mutable.purgeMany("state", { lastAccessedBefore: days(90) })).deleted,
    ).toBe(0);
  });
});

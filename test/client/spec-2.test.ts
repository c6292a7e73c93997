// Runs the examples of spec/2 that call cortex.immutable, as they are written there.
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { Cortex } from "../../client/index.js";
import { Retention } from "../../server/config/retention.js";
import { serve } from "../support/server.js";

const s = serve({
  retention: new Retention(
    20,
    new Map([
      ["audit-log", -1],
      ["policy", -1],
    ]),
  ),
});
let cortex: Cortex;
const lines: string[] = [];
const console = { log: (...text: unknown[]) => lines.push(text.join(" ")) };
const said = () => lines.splice(0);

beforeAll(() => {
  cortex = s.cortex;
});

describe("store()", () => {
  it("with and without a user", async () => {
    await cortex.users.create("user-123");
    await cortex.immutable.store({
      type: "feedback",
      id: "feedback-456",
      userId: "user-123",
      data: { rating: 5, comment: "Great service!", submittedAt: new Date() },
    });
    await cortex.immutable.store({
      type: "kb-article",
      id: "refund-policy",
      data: { title: "Refund Policy", content: "..." },
    });
    expect((await cortex.immutable.get("feedback", "feedback-456"))?.userId).toBe("user-123");
    await cortex.immutable.purge("kb-article", "refund-policy");
  });

  it("makes v1, then v2", async () => {
    const v1 = await cortex.immutable.store({
      type: "kb-article",
      id: "refund-policy",
      data: {
        title: "Refund Policy",
        content: "Refunds available within 30 days...",
        author: "admin@company.com",
      },
      metadata: {
        publishedBy: "admin",
        tags: ["policy", "refunds", "customer-service"],
        importance: 90,
      },
    });
    console.log(v1.version);
    console.log(v1.id);
    const v2 = await cortex.immutable.store({
      type: "kb-article",
      id: "refund-policy",
      data: {
        title: "Refund Policy v2",
        content: "Refunds available within 60 days...",
        author: "admin@company.com",
      },
      metadata: {
        publishedBy: "admin",
        tags: ["policy", "refunds", "customer-service"],
        importance: 90,
      },
    });
    console.log(v2.version);
    console.log(v2.previousVersions.length);
    expect(said()).toEqual(["1", "refund-policy", "2", "1"]);
  });
});

describe("reads", () => {
  it("get()", async () => {
    const article = await cortex.immutable.get("kb-article", "refund-policy");
    if (article) {
      console.log(`Current version: ${article.version}`);
      console.log(`Title: ${article.data.title}`);
      console.log(`Content: ${article.data.content}`);
      article.previousVersions.forEach((v) => {
        console.log(`v${v.version} (${v.timestamp}): ${v.data.title}`);
      });
    }
    expect(said()).toEqual([
      "Current version: 2",
      "Title: Refund Policy v2",
      "Content: Refunds available within 60 days...",
      expect.stringMatching(/^v1 \(.*20\d\d.*\): Refund Policy$/),
    ]);
  });

  it("getVersion()", async () => {
    const v1 = await cortex.immutable.getVersion("kb-article", "refund-policy", 1);
    if (v1) {
      console.log(`v1 content: ${v1.data.content}`);
      console.log(`v1 created: ${v1.timestamp}`);
    } else {
      console.log("Version 1 purged by retention policy");
    }
    expect(said()).toEqual([
      "v1 content: Refunds available within 30 days...",
      expect.stringContaining("v1 created: "),
    ]);
  });

  it("getHistory()", async () => {
    for (const value of [2000, 5000])
      await cortex.immutable.store({
        type: "policy",
        id: "max-refund",
        data: { value, reason: `now ${value}` },
        metadata: { publishedBy: "ceo-agent" },
      });
    const history = await cortex.immutable.getHistory("policy", "max-refund");
    console.log(`Policy has ${history.length} versions:`);
    history.forEach((v) => {
      console.log(`v${v.version} (${v.timestamp}): Value ${v.data.value}`);
      console.log(`  Changed by: ${v.metadata.publishedBy}`);
      console.log(`  Reason: ${v.data.reason}`);
    });
    expect(said()).toHaveLength(7);
  });

  it("getAtTimestamp()", async () => {
    const policy = await cortex.immutable.getAtTimestamp(
      "policy",
      "max-refund",
      new Date("2025-01-01"),
    );
    if (policy) {
      console.log(`Policy on Jan 1: $${policy.data.value}`);
    } else {
      console.log("Policy didn't exist yet or version purged");
    }
    expect(said()).toEqual(["Policy didn't exist yet or version purged"]);
    const later = await cortex.immutable.getAtTimestamp(
      "policy",
      "max-refund",
      new Date("2999-01-01"),
    );
    expect(later?.data.value).toBe(5000);
  });

  it("list()", async () => {
    await cortex.immutable.store({
      type: "policy",
      id: "window",
      data: {},
      metadata: { category: "refunds" },
    });
    const articles = await cortex.immutable.list({
      type: "kb-article",
      sortBy: "createdAt",
      sortOrder: "desc",
      limit: 50,
    });
    const policies = await cortex.immutable.list({
      type: "policy",
      metadata: { category: "refunds" },
    });
    for (let i = 0; i < 5; i++)
      await cortex.immutable.store({ type: "volatile", id: "v", data: { i } });
    const volatile = await cortex.immutable.list({
      minVersion: 5,
      sortBy: "version",
      sortOrder: "desc",
    });
    expect(
      [articles, policies, volatile].map(({ records }) => records.map(({ id }) => id)),
    ).toEqual([["refund-policy"], ["window"], ["v"]]);
    expect(articles).toMatchObject({ total: 1, limit: 50, offset: 0, hasMore: false });
  });

  it("search()", async () => {
    await cortex.immutable.store({
      type: "kb-article",
      id: "refunds",
      data: { title: "How to Process Refunds", content: "The process of a refund" },
    });
    const results = await cortex.immutable.search("refund process", {
      type: "kb-article",
      searchIn: "both",
    });
    results.forEach((r) => {
      console.log(`${r.record.data.title} (score: ${r.score})`);
      console.log(`Matches: ${r.matches.join(", ")}`);
    });
    expect(said()).toEqual([
      expect.stringMatching(/^How to Process Refunds \(score: 0\.\d+\)$/),
      "Matches: data.title, data.content",
    ]);
  });

  it("count()", async () => {
    const total = await cortex.immutable.count({ type: "kb-article" });
    const recentPolicies = await cortex.immutable.count({
      type: "policy",
      createdAfter: new Date("2025-10-01"),
    });
    expect([total, recentPolicies]).toEqual([2, 2]);
  });
});

describe("purges", () => {
  it("purge()", async () => {
    await cortex.immutable.store({ type: "kb-article", id: "old-article", data: {} });
    const result = await cortex.immutable.purge("kb-article", "old-article");
    console.log(`Purged ${result.versionsDeleted} versions`);
    expect(said()).toEqual(["Purged 1 versions"]);
  });

  it("purgeMany()", async () => {
    const preview = await cortex.immutable.purgeMany(
      {
        type: "audit-log",
        createdBefore: new Date(Date.now() - 365 * 24 * 60 * 60 * 1000),
      },
      { dryRun: true },
    );
    console.log(`Would purge ${preview.recordsAffected} audit logs`);
    const result = await cortex.immutable.purgeMany({
      type: "audit-log",
      createdBefore: new Date(Date.now() - 365 * 24 * 60 * 60 * 1000),
    });
    expect(said()).toEqual(["Would purge 0 audit logs"]);
    expect(result.recordsAffected).toBe(0);
  });

  it("purgeVersions()", async () => {
    for (let i = 0; i < 20; i++)
      await cortex.immutable.store({ type: "kb-article", id: "guide-123", data: { i } });
    const result = await cortex.immutable.purgeVersions("kb-article", "guide-123", {
      keepLatest: 20,
    });
    console.log(`Purged ${result.versionsDeleted} old versions`);
    await cortex.immutable.purgeVersions("policy", "refund-policy", {
      olderThan: new Date(Date.now() - 365 * 24 * 60 * 60 * 1000),
    });
    expect(said()).toEqual(["Purged 0 old versions"]);
  });
});

describe("version management", () => {
  it("the retention is the server's: a client that wants its own is told so", async () => {
    expect(() => s.client({ immutableRetention: { defaultVersions: 20 } } as object)).toThrow(
      "immutableRetention",
    );
    expect(await cortex.immutable.getRetention()).toEqual({
      defaultVersions: 20,
      byType: { "audit-log": -1, policy: -1 },
    });
  });

  it("versions come by themselves", async () => {
    const v1 = await cortex.immutable.store({
      type: "kb-article",
      id: "guide-1",
      data: { content: "Version 1" },
    });
    const v2 = await cortex.immutable.store({
      type: "kb-article",
      id: "guide-1", // Same ID
      data: { content: "Version 2" }, // Updated content
    });
    expect([v1.version, v2.version]).toEqual([1, 2]);
    const current = await cortex.immutable.get("kb-article", "guide-1");
    console.log(current?.version);
    console.log(current?.previousVersions[0]?.version);
    expect(said()).toEqual(["2", "1"]);
  });
});

describe("common types and use cases", () => {
  it("articles, policies, audit logs, reasoning", async () => {
    await cortex.immutable.store({
      type: "kb-article",
      id: "how-to-refund",
      data: {
        title: "How to Process Refunds",
        content: "1. Verify eligibility\n2. Process in system...",
        category: "customer-service",
        author: "training-team",
      },
      metadata: { publishedBy: "admin", tags: ["refunds", "how-to", "training"], importance: 85 },
    });
    await cortex.immutable.store({
      type: "policy",
      id: "max-refund-amount",
      data: {
        value: 5000,
        currency: "USD",
        effectiveDate: new Date(),
        approvedBy: "ceo-agent",
        reason: "Increased from $2000 for customer satisfaction",
      },
      metadata: {
        publishedBy: "ceo-agent",
        tags: ["policy", "financial", "refunds"],
        importance: 100,
      },
    });
    await cortex.immutable.store({
      type: "audit-log",
      id: `audit-${Date.now()}`, // Unique ID per log entry
      data: {
        action: "REFUND_APPROVED",
        agentId: "finance-agent",
        userId: "user-123",
        amount: 500,
        reason: "Defective product",
        timestamp: new Date(),
      },
      metadata: { importance: 95, tags: ["audit", "refund", "financial"] },
    });
    const agentId = "support-agent";
    await cortex.immutable.store({
      type: "agent-reasoning",
      id: `reasoning-${agentId}-${Date.now()}`,
      data: {
        agentId: "support-agent",
        userId: "user-123",
        situation: "User seems frustrated",
        reasoning: "Detected negative sentiment in last 3 messages",
        decision: "Switch to empathetic tone",
        confidence: 0.87,
      },
      metadata: { importance: 70, tags: ["reasoning", "sentiment", "tone-adjustment"] },
    });
    expect(await cortex.immutable.count({ tags: ["refunds"] })).toBe(3);
    expect(await cortex.immutable.search("$2000")).toHaveLength(1);
  });

  it("a guide that is indexed elsewhere", async () => {
    const article = await cortex.immutable.store({
      type: "kb-article",
      id: "refund-guide",
      data: { title: "Refund Guide", content: "..." },
    });
    const index = vi.fn();
    index({
      content: `${article.data.title}: ${article.data.content}`,
      immutableRef: { type: article.type, id: article.id, version: article.version },
    });
    const [{ immutableRef }] = index.mock.calls[0] as [
      { immutableRef: { type: string; id: string } },
    ];
    const fullArticle = await cortex.immutable.get(immutableRef.type, immutableRef.id);
    expect(fullArticle?.data).toEqual({ title: "Refund Guide", content: "..." });
  });

  it("policy management", async () => {
    for (const [days, effectiveDate] of [
      [30, new Date("2025-01-01")],
      [60, new Date("2025-06-01")],
    ] as const)
      await cortex.immutable.store({
        type: "policy",
        id: "refund-window",
        data: { days, effectiveDate, approvedBy: "board" },
      });
    const policy = await cortex.immutable.get("policy", "refund-window");
    const daysSincePurchase = 45;
    expect(daysSincePurchase <= policy?.data.days).toBe(true);
  });

  it("audit trail", async () => {
    async function logAction(action: string, agentId: string, data: object) {
      await cortex.immutable.store({
        type: "audit-log",
        id: `${action}-${Date.now()}`, // Unique per action
        data: { action, agentId, ...data, timestamp: new Date() },
        metadata: { importance: 95, tags: ["audit", action.toLowerCase()], agentId },
      });
    }
    await logAction("REFUND", "finance-agent", { amount: 5 });
    await logAction("LOGIN", "support-agent", {});
    const auditLogs = await cortex.immutable.list({
      type: "audit-log",
      metadata: { agentId: "finance-agent" },
      createdAfter: new Date("2025-10-01"),
      limit: 100,
    });
    expect(auditLogs.records.map(({ data }) => data.action)).toEqual(["REFUND"]);
  });
});

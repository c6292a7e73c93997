// A list of tasks that several agents share. One agent does each task: npx tsx examples/shared-tasks.ts
import { Cortex } from "../client/index.js";

interface Task {
  title: string;
  status: "open" | "taken" | "done";
  agent?: string;
}

await using cortex = new Cortex({ tenantId: "examples" });
const { mutable } = cortex;

await mutable.purgeNamespace("tasks");
await mutable.setMany(
  "tasks",
  Object.fromEntries(
    ["draft", "review", "translate", "publish", "announce", "archive"].map((title, i) => [
      `task-${i + 1}`,
      { title, status: "open" } satisfies Task,
    ]),
  ),
);

/** Takes an open task for the agent. Returns its key; null if none is left. No task is taken twice. */
async function take(agent: string): Promise<string | null> {
  for await (const { key, value, revision } of mutable.scan<Task>("tasks")) {
    if (value.status !== "open") continue;
    const taken = { ...value, status: "taken", agent };
    const won = await mutable.set("tasks", key, taken, { ifRevision: revision }).then(
      () => true,
      (error) => {
        if (error.code === "REVISION_MISMATCH") return false; // another agent was faster
        throw error;
      },
    );
    if (won) return key;
  }
  return null;
}

async function work(agent: string): Promise<void> {
  for (let key = await take(agent); key !== null; key = await take(agent))
    await mutable.merge("tasks", key, { status: "done" });
}

await Promise.all(["ann", "ben", "cleo"].map(work));

const { records } = await mutable.list<Task>("tasks");
const agents = new Set(records.map(({ value }) => value.agent));
const done = records.filter(({ value }) => value.status === "done").length;
console.log(`${done} of ${records.length} tasks done`); // 6 of 6 tasks done
console.log(
  `each by one of ${["ann", "ben", "cleo"].length} agents: ${[...agents].every(Boolean)}`,
);

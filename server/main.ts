// The command `cortex-store`: serves, or with the argument `health` asks a running server for its health. Each is
// imported only when it is needed, because a container asks every few seconds.
const [command, ...rest] = process.argv.slice(2);
if (command === "health") {
  const { reportHealth } = await import("./health.js");
  await reportHealth(rest);
} else {
  const { main } = await import("./serve.js");
  await main();
}

export {};

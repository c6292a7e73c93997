// A Redis that is as durable as Cortex Store, for comparisons: it writes each command to the disk before it answers.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** undefined if it is not installed. */
export async function startRedis(connectionCount: number) {
  if (spawnSync("redis-server", ["--version"]).error) return undefined;
  const directory = await mkdtemp(join(tmpdir(), "bench-redis-"));
  const socket = join(directory, "redis.sock");
  const child = spawn(
    "redis-server",
    [
      ...["--port", "0", "--unixsocket", socket, "--dir", directory, "--save", ""],
      ...["--appendonly", "yes", "--appendfsync", "always"],
    ],
    { stdio: "ignore" },
  );
  await pause(1000);
  const connections = await Promise.all(
    Array.from({ length: connectionCount }, () => RedisConnection.open(socket)),
  );
  return {
    connections,
    pid: child.pid as number,
    async stop() {
      for (const one of connections) one.close();
      child.kill("SIGTERM");
      await once(child, "exit");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A connection to Redis, one command at a time. */
export class RedisConnection {
  #received = Buffer.alloc(0);
  #waiting: ((reply: unknown) => void) | undefined;

  private constructor(readonly socket: Socket) {
    socket.on("data", (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      const parsed = parse(this.#received, 0);
      if (!parsed) return;
      this.#received = this.#received.subarray(parsed.end);
      this.#waiting?.(parsed.value);
    });
  }

  static async open(path: string): Promise<RedisConnection> {
    const socket = connect(path);
    await once(socket, "connect");
    return new RedisConnection(socket);
  }

  ask(...words: string[]): Promise<unknown> {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    this.socket.write(`*${words.length}\r\n${parts.join("")}`);
    return new Promise((resolve, reject) => {
      this.#waiting = (reply) => (reply instanceof Error ? reject(reply) : resolve(reply));
    });
  }

  close(): void {
    this.socket.destroy();
  }
}

/** The value that begins at a place of the bytes, in Redis' protocol; undefined if it is not complete. */
function parse(bytes: Buffer, at: number): { value: unknown; end: number } | undefined {
  const lineEnd = bytes.indexOf("\r\n", at);
  if (lineEnd < 0) return undefined;
  const text = bytes.toString("utf8", at + 1, lineEnd);
  const start = lineEnd + 2;
  const size = Number(text);
  switch (String.fromCharCode(bytes[at] as number)) {
    case "$":
      if (size < 0) return { value: null, end: start };
      if (bytes.length < start + size + 2) return undefined;
      return { value: bytes.toString("utf8", start, start + size), end: start + size + 2 };
    case "*": {
      if (size < 0) return { value: null, end: start };
      const items: unknown[] = [];
      let end = start;
      for (let i = 0; i < size; i++) {
        const item = parse(bytes, end);
        if (!item) return undefined;
        items.push(item.value);
        end = item.end;
      }
      return { value: items, end };
    }
    case "-":
      return { value: new Error(text), end: start };
    default:
      return { value: text, end: start };
  }
}

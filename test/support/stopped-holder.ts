// A process that holds a claim (claim-holder.ts), and can be stopped meanwhile.
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { cleanEnvironment, root } from "./process.js";

export class StoppedHolder {
  readonly #lines: AsyncIterator<string>;

  private constructor(readonly child: ChildProcess) {
    const input = child.stdout as NodeJS.ReadableStream;
    this.#lines = createInterface({ input })[Symbol.asyncIterator]();
  }

  static async start(address: string): Promise<StoppedHolder> {
    const program = join(root, "test/support/claim-holder.ts");
    const child = spawn(process.execPath, ["--import", "tsx", program, address], {
      cwd: root,
      env: cleanEnvironment(),
      stdio: ["pipe", "pipe", "inherit"],
    });
    return new StoppedHolder(child);
  }

  async acquire(name: string, ttlSeconds: number): Promise<void> {
    await this.#ask(`${name} ${ttlSeconds}`);
  }

  stop(): void {
    this.child.kill("SIGSTOP");
  }

  /** Lets it go on, and write. Gives how each kind of write failed. */
  async goOn(): Promise<Record<string, string>> {
    this.child.kill("SIGCONT");
    return JSON.parse(await this.#ask("write")) as Record<string, string>;
  }

  end(): void {
    this.child.kill("SIGKILL");
  }

  async #ask(line: string): Promise<string> {
    this.child.stdin?.write(`${line}\n`);
    const { value } = await this.#lines.next();
    return value ?? "";
  }
}

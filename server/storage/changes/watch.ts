// A watch: sends the changes of the names that it asks for, from a place in the feed on. What is behind the reader
// of this server comes from the log, then the reader gives it what is new. A watch that falls behind goes on
// from the log again.
import { CortexError } from "../../errors/reasons.js";
import { type Change, Disabled, Dropped, type Position, readPage } from "../../feed/log.js";
import { parseSnapshot, type Snapshot } from "../../feed/snapshot.js";
import type { Item, Watcher } from "../../feed/watcher.js";
import type { NameSelector } from "../../feed/watchers.js";
import type { Call } from "../../grpc/call.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import { afterPrefix } from "../page-token.js";
import { Cursors, type Place } from "./cursor.js";

const heartbeatMs = 10_000;
const messageRowsMax = 100;
const messageBytesMax = 256 * 1024;
const pageRowsMax = 1000;
const pageBytesMax = 1024 * 1024;

export type Sent = Omit<Change, "kind"> & { kind: Change["kind"] | "current"; cursor: string };

/** A message of a watch. */
export interface Message {
  changes: Sent[];
  cursor: string;
  currentComplete: boolean;
}

/** A row of the current state. All rows have the same snapshot; a row without a name says that there are none. */
export interface CurrentRow
  extends Pick<Change, "name" | "value" | "revision" | "user_id" | "agent_id" | "at"> {
  snapshot: string;
}

/** A page of the current state. */
export interface Window {
  after: string;
  rowsMax: number;
  bytesMax: number;
}

export interface Watch {
  selector: NameSelector;
  cursor: string | undefined;
  includeCurrent: boolean;
  /** Reads what exists, after a name, in the order of names. */
  readCurrent(window: Window): Promise<CurrentRow[]>;
}

export async function* watch(call: Call, asked: Watch): AsyncGenerator<Message> {
  const { feed } = call.server;
  if (asked.cursor !== undefined && asked.includeCurrent)
    throw new CortexError("INVALID_OPTIONS", {
      field: "cursor",
      problem: "cannot go together with include_current",
    });
  const cursors = new Cursors(await feed.state(), asked.selector);
  const place = asked.cursor === undefined ? undefined : cursors.parse(asked.cursor);
  const watcher = feed.open(asked.selector);
  const watching = new Watching(call, asked, cursors, watcher);
  try {
    await watching.begin(place);
    for (;;) {
      await watching.untilReady();
      yield await call.inRoom(() => watching.message());
    }
  } catch (error) {
    throw watching.reasonOf(error);
  } finally {
    feed.remove(watcher);
  }
}

class Watching {
  /** What the caller has got. */
  #sent: Place | undefined;
  /** Up to where the log was read for it. */
  #read: Position | undefined;
  /** The log is to be read up to here. */
  #target: Snapshot | undefined;
  /** See Place. */
  #bound: string | undefined;
  /** True if no more of the current state follows. */
  #isComplete = false;
  /** The position of the watcher that it knew last. */
  #position: Snapshot | undefined;
  #sentAt = Number.NEGATIVE_INFINITY;

  constructor(
    readonly call: Call,
    readonly asked: Watch,
    readonly cursors: Cursors,
    readonly watcher: Watcher,
  ) {}

  async begin(place: Place | undefined): Promise<void> {
    if (place) {
      this.#read = place.position;
      this.#bound = place.bound;
      this.#sent = place;
      await this.#readLog(); // an expired cursor is refused at once
      return;
    }
    if (this.asked.includeCurrent) {
      this.#bound = "";
      await this.#readCurrent("");
    } else this.#read = { from: await this.#join() };
    this.#sent = { position: this.#read as Position, bound: this.#bound };
  }

  /** Reads or waits until there is something to send. */
  async untilReady(): Promise<void> {
    const { watcher, call } = this;
    while (!this.#list && !(this.#isComplete && !this.#isReading)) {
      call.signal.throwIfAborted();
      if (watcher.failure) throw watcher.failure;
      if (this.#isReading) await this.#readLog();
      else if (this.#bound !== undefined) await this.#readCurrent(this.#bound);
      else if (!watcher.isLive) {
        this.#read = this.#sent?.position;
        this.#target = await this.#join();
      } else {
        if (watcher.position !== this.#position) {
          this.#position = watcher.position;
          this.#sent = { position: { from: watcher.position as Snapshot } };
        }
        if (this.#quietMs <= 0) return;
        await watcher.wait(this.#quietMs, call.signal);
      }
      if (this.#quietMs <= 0) return;
    }
  }

  /** How long it may still send nothing. */
  get #quietMs(): number {
    return this.#sentAt + heartbeatMs - performance.now();
  }

  /** The list of the watcher whose items come next; undefined if there is nothing to send yet. */
  get #list(): Item[] | undefined {
    const { backlog, current, live } = this.watcher;
    if (backlog.length > 0) return backlog;
    if (this.#isReading) return undefined;
    if (current.length > 0) return current;
    return this.#bound === undefined && live.length > 0 ? live : undefined;
  }

  /** True if the log is still to be read up to the target. */
  get #isReading(): boolean {
    const read = this.#read as Position;
    return read.to !== undefined || (this.#target !== undefined && this.#target !== read.from);
  }

  /** Lets the reader give the watcher what is new from now on. */
  async #join(): Promise<Snapshot> {
    const { watcher, call } = this;
    await call.server.feed.join(watcher, call.signal);
    if (watcher.failure) throw watcher.failure;
    this.#position = watcher.position;
    return watcher.position as Snapshot;
  }

  async #readLog(): Promise<void> {
    const { selector } = this.asked;
    const target = this.#target;
    const page = await readPage(this.call.db.scans, this.#read as Position, {
      tenant: selector.tenant,
      matches: (sql) => matches(sql, selector, this.#bound),
      until: target,
      inSteps: true,
      rowsMax: pageRowsMax,
      bytesMax: pageBytesMax,
    });
    const { batch } = page;
    const { next } = page;
    this.#read = target && next.from.text === target.text ? { ...next, from: target } : next;
    if (page.changes.length === 0) this.#sent = { position: this.#read, bound: this.#bound };
    const items = page.changes.map((change): Item => ({ change, batch }));
    this.watcher.backlog.push(...this.#withoutErased(items));
  }

  async #readCurrent(after: string): Promise<void> {
    const rows = await this.asked.readCurrent({
      after,
      rowsMax: pageRowsMax,
      bytesMax: pageBytesMax,
    });
    const { tenant, store, space } = this.asked.selector;
    const snapshot = parseSnapshot(rows[0]?.snapshot ?? "");
    const found = rows.filter(({ name }) => name !== null);
    this.#isComplete = found.length === 0;
    this.#read ??= { from: snapshot };
    this.#target = this.#read.from.text === snapshot.text ? this.#read.from : snapshot;
    const batch = { from: snapshot, to: snapshot };
    const items = found.map((row): Item => {
      const change: Change = {
        ...row,
        tenant,
        store,
        space,
        kind: "set",
        xid: "",
        rank: "",
        id: "",
      };
      return { change, batch };
    });
    this.watcher.current.push(...this.#withoutErased(items));
  }

  /** A user may have been erased since the page was read. */
  #withoutErased(items: Item[]): Item[] {
    const { feed } = this.call.server;
    return items.filter((item) => !feed.erasures.cover(item));
  }

  /** The next message. It is empty if there is nothing to send. */
  message(): Message {
    const list = this.#list;
    const currentComplete = !list && this.#isComplete && !this.#isReading;
    if (currentComplete) {
      this.#isComplete = false;
      this.#bound = undefined;
      this.#sent = { position: this.#read as Position };
    }
    const isCurrent = list === this.watcher.current;
    const items = list ? this.watcher.take(list, messageRowsMax, messageBytesMax) : [];
    const changes = items.map((item) => this.#sending(item, isCurrent));
    this.#sentAt = performance.now();
    const cursor = changes.at(-1)?.cursor ?? this.#cursor(this.#sent as Place);
    return { changes, cursor, currentComplete };
  }

  #sending(item: Item, isCurrent: boolean): Sent {
    const { change, batch } = item;
    if (isCurrent) {
      this.#bound = change.name;
      this.#sent = { position: { from: batch.to }, bound: change.name };
      return { ...change, kind: "current", cursor: this.#cursor(this.#sent) };
    }
    const position: Position = { ...batch, after: [change.rank, change.id] };
    this.#sent = { position, bound: this.#bound };
    if (this.#bound !== undefined) return { ...change, cursor: this.#cursor(this.#sent) };
    item.cursor ??= this.cursors.textOf(this.#sent);
    return { ...change, cursor: this.cursors.sign(item.cursor) };
  }

  #cursor(place: Place): string {
    return this.cursors.sign(this.cursors.textOf(place));
  }

  /** The reason with which the watch ends. */
  reasonOf(error: unknown): unknown {
    if (error instanceof Disabled) return new CortexError("WATCH_DISABLED");
    if (error instanceof Dropped)
      return new CortexError("CURSOR_EXPIRED", {
        problem: "changes after it are not kept any more",
      });
    if (!(error instanceof CortexError) || error.reason !== "SHUTTING_DOWN" || !this.#sent)
      return error;
    const cursor = this.#cursor(this.#sent);
    return new CortexError(error.reason, { ...error.details, cursor }, { cause: error.cause });
  }
}

/** The changes `c` of a watch. */
function matches(
  sql: Sql,
  { store, space, name, prefix }: NameSelector,
  bound: string | undefined,
): Fragment {
  const end = prefix === "" ? undefined : afterPrefix(prefix);
  return sql`
    c.store = ${store} and c.space = ${space}
    ${name === undefined ? sql`` : sql`and c.name = ${name}`}
    ${prefix === "" ? sql`` : sql`and c.name >= ${prefix}`}
    ${end === undefined ? sql`` : sql`and c.name < ${end}`}
    ${bound === undefined ? sql`` : sql`and c.name <= ${bound}`}`;
}

// Finds the subscribers of a channel. Their patterns are a tree of segments, so that the cost does not grow with the
// subscribers that do not match.

interface Node<S> {
  /** By the next segment, which can be `*`. */
  next: Map<string, Node<S>>;
  /** Those whose pattern ends here. */
  here: Set<S>;
  /** Those whose pattern goes on with `**`. */
  below: Set<S>;
}

const newNode = <S>(): Node<S> => ({ next: new Map(), here: new Set(), below: new Set() });

export class Channels<S> {
  readonly #root: Node<S> = newNode();

  get isEmpty(): boolean {
    return isEmpty(this.#root);
  }

  add(pattern: string, subscriber: S): void {
    let node = this.#root;
    for (const segment of pattern.split(":")) {
      if (segment === "**") {
        node.below.add(subscriber);
        return;
      }
      const next = node.next.get(segment) ?? newNode<S>();
      node.next.set(segment, next);
      node = next;
    }
    node.here.add(subscriber);
  }

  delete(pattern: string, subscriber: S): void {
    const path: [node: Node<S>, segment: string][] = [];
    let node = this.#root;
    for (const segment of pattern.split(":")) {
      if (segment === "**") break;
      path.push([node, segment]);
      const next = node.next.get(segment);
      if (!next) return;
      node = next;
    }
    (pattern.endsWith("**") ? node.below : node.here).delete(subscriber);
    for (const [parent, segment] of path.reverse()) {
      if (!isEmpty(parent.next.get(segment) as Node<S>)) return;
      parent.next.delete(segment);
    }
  }

  *of(channel: string): Iterable<S> {
    let nodes = [this.#root];
    for (const segment of channel.split(":")) {
      const next: Node<S>[] = [];
      for (const node of nodes) {
        yield* node.below;
        for (const name of [segment, "*"]) next.push(...listOf(node.next.get(name)));
      }
      nodes = next;
    }
    for (const node of nodes) yield* node.here;
  }
}

const listOf = <T>(one: T | undefined): T[] => (one === undefined ? [] : [one]);

const isEmpty = <S>({ next, here, below }: Node<S>): boolean =>
  next.size + here.size + below.size === 0;

"""One of many processes that use patterns at once; test/support/pattern-worker.ts is the same in TypeScript.
Arguments: ADDRESS WORKER DONE. DONE is JSON: the number of steps that were made, by pattern. It prints a
line for each step that is acknowledged, and "done" at the end, so that after a kill it can be started
again where it was. Patterns whose names begin with "naive" do as the samples of the specification."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cortex_store import Cortex, CortexError, DataStore
from cortex_store.patterns import (
    KeywordIndex,
    StateMachine,
    add_to_statistics,
    append_bounded,
    cache_aside,
    count,
    index_document,
    lock,
    process_batch,
    remove_document,
    transition,
)

STEPS = int(os.environ.get("PATTERN_STEPS") or 12)
ITEMS = list(range(STEPS * 5))
INDEX = KeywordIndex("index-documents", "index")
JOBS = StateMachine("jobs", "waiting", {"waiting": ["running"], "running": ["waiting"]})


def steps_of(pattern: str) -> int:
    return 1 if pattern.endswith("batch") else STEPS


def added_by(worker: int, step: int) -> str:
    """A decimal that a worker adds to statistics. The lowest of all is 0."""
    return "0" if worker == step == 0 else f"{worker * 7 + step}.1"


def words_of(worker: int, step: int) -> dict[str, int]:
    """The keywords of a document: one that all share, one of its worker, one of its step."""
    return {"all": 1, f"worker{worker}": 2, f"step{step}": 3}


def say(*words: Any) -> None:
    print(*words, flush=True)


def main() -> None:
    address, worker, done = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    cortex = Cortex(address=address, tenant_id="", agent_id=f"worker-{worker}", timeout=60)
    store = DataStore(cortex=cortex)

    def batch(ns: str, step: int, id: str) -> None:
        def work(item: int) -> int:
            say("item", item)
            return item * 2

        process_batch(cortex, ns, "b", ITEMS, work, wait=60, claim_seconds=1)

    def index(ns: str, step: int, id: str) -> None:
        index_document(cortex, INDEX, id, {"id": id}, words_of(worker, step))
        # Every third document gets other words, and every fifth is removed.
        if step % 3 == 0:
            index_document(cortex, INDEX, id, {"id": id, "again": True}, {"again": 1})
        if step % 5 == 0:
            remove_document(cortex, INDEX, id)

    def machine(ns: str, step: int, id: str) -> None:
        try:
            transition(cortex, JOBS, "shared", "running" if step % 2 == 0 else "waiting", data=id)
        except CortexError as error:
            if error.code != "TRANSITION_NOT_ALLOWED":
                raise  # else another worker made it

    def locked(ns: str, step: int, id: str) -> None:
        with lock(cortex, "resource", ttl_seconds=2, wait=60) as held:
            before = cortex.mutable.get(ns, "l", default=[])
            if id not in before:
                held.mutable.set(ns, "l", [*before, id])

    def cache(ns: str, step: int, id: str) -> None:
        def compute() -> Any:
            cortex.mutable.increment(f"{ns}-computed", f"page-{step}", create_if_missing=True)
            return {"page": step}

        cache_aside(cortex, ns, f"page-{step}", compute, ttl_seconds=3600, claim_seconds=2)

    def naive(ns: str, key: str, change: Callable[[Any], Any], default: Any) -> None:
        data_store = store.use_namespace(ns)
        data_store.set(key, change(data_store.get(key, default)))

    def naive_statistics(ns: str, step: int, id: str) -> None:
        def change(stats: Any) -> Any:
            value = float(added_by(worker, step))
            stats["count"] += 1
            stats["sum"] += value
            stats["min"] = min(stats["min"], value) if stats["min"] else value
            stats["max"] = max(stats["max"], value) if stats["max"] else value
            return stats

        naive(ns, "s", change, {"count": 0, "sum": 0, "min": None, "max": None})

    steps: dict[str, Callable[[str, int, str], Any]] = {
        "counter": lambda ns, step, id: count(cortex, ns, "n", 1, id=id),
        "list": lambda ns, step, id: append_bounded(cortex, ns, "l", id, max_length=10_000, id=id),
        "statistics": lambda ns, step, id: add_to_statistics(cortex, ns, "s", added_by(worker, step), id=id),
        "batch": batch,
        "index": index,
        "machine": machine,
        "lock": locked,
        "cache": cache,
        "naive-counter": lambda ns, step, id: naive(ns, "n", lambda n: n + 1, 0),
        "naive-list": lambda ns, step, id: naive(ns, "l", lambda items: [*items, id], []),
        "naive-statistics": naive_statistics,
    }
    for pattern, begun in done.items():
        for step in range(begun, steps_of(pattern)):
            steps[pattern](pattern, step, f"{worker}-{step}")
            say(pattern, step)
    say("done")
    cortex.close()


if __name__ == "__main__":
    main()

"""Each pattern under 16 processes, half of them in Python and half in TypeScript, of which some are killed
(kill -9) and started again. What comes out is exact. The samples of the specification, as they stand, are
caught by the same checks."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator

import pytest
from conftest import ROOT, Server
from pattern_worker import INDEX, ITEMS, JOBS, added_by, steps_of

from cortex_store import Cortex
from cortex_store.patterns import batch_results, search_index, state_of, transitions_of

pytestmark = pytest.mark.slow

WORKERS = 16
KILLS = int(os.environ.get("PATTERN_KILLS") or 20)
PATTERNS = ["counter", "list", "statistics", "batch", "index", "machine", "lock", "cache"]
NAIVE = ["naive-counter", "naive-list", "naive-statistics"]
STEPS = steps_of("counter")
IDS = [f"{worker}-{step}" for worker in range(WORKERS) for step in range(STEPS)]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cortex]:
    """A client of a server of its own, on which the processes have worked."""
    folder = tmp_path_factory.mktemp("server")
    server = Server(str(folder), "--retention", '{"defaultVersions":-1}')
    node = ROOT / ".scratch" / "pattern-worker-python.mjs"
    subprocess.run(
        [
            "node",
            "-e",
            "require('esbuild').buildSync({entryPoints:[process.argv[1]],outfile:process.argv[2],bundle:true,"
            "packages:'external',platform:'node',format:'esm'})",
            str(ROOT / "test" / "support" / "pattern-worker.ts"),
            str(node),
        ],
        check=True,
        cwd=ROOT,
    )
    work(server.address, PATTERNS, node, KILLS)
    work(server.address, NAIVE, None, 0)
    with Cortex(address=server.address, tenant_id="", timeout=20) as cortex:
        yield cortex
    server.stop()


def work(address: str, patterns: list[str], node: Any, kills: int) -> None:
    """Runs the workers to their end, and kills some of them on the way."""
    lock = threading.Lock()
    running: set[subprocess.Popen[str]] = set()
    events = 0
    killed = 0

    def told() -> None:
        """Somebody dies from time to time, in the middle of a step."""
        nonlocal events, killed
        with lock:
            events += 1
            if killed < kills and events % 20 == 0 and running:
                killed += 1
                random.choice(list(running)).kill()

    def run(worker: int) -> None:
        done = dict.fromkeys(patterns, 0)
        program = [sys.executable, str(Path(__file__).parent / "pattern_worker.py")]
        if node is not None and worker % 2 == 0:
            program = ["node", str(node)]
        while True:
            child = subprocess.Popen(
                [*program, address, str(worker), json.dumps(done)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            with lock:
                running.add(child)
            assert child.stdout is not None and child.stderr is not None
            is_done = False
            for line in child.stdout:
                is_done = is_done or line == "done\n"
                step = re.fullmatch(r"(\S+) (\d+)\n", line)
                if step is not None and step[1] in done:
                    done[step[1]] = int(step[2]) + 1
                told()
            with lock:
                running.discard(child)
            errors = child.stderr.read()
            code = child.wait()
            if is_done:
                return
            assert code == -9, f"worker {worker} ended with {code}: {errors}"

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(run, range(WORKERS)))
    assert killed == kills


def check_counter(cortex: Cortex, ns: str) -> None:
    assert cortex.mutable.get(ns, "n") == len(IDS)


def check_list(cortex: Cortex, ns: str) -> None:
    assert sorted(cortex.mutable.get(ns, "l")) == sorted(IDS)


def check_statistics(cortex: Cortex, ns: str) -> None:
    tenths = [round(float(added_by(worker, step)) * 10) for worker in range(WORKERS) for step in range(STEPS)]
    stats = cortex.mutable.get(ns, "s")
    n, total, squares = len(tenths), sum(tenths), sum(one * one for one in tenths)
    assert (stats["count"], stats["sum"], stats["min"], stats["max"]) == (n, total / 10, 0, max(tenths) / 10)
    assert stats["mean"] == pytest.approx(total / 10 / n, rel=1e-12)
    assert stats["variance"] == pytest.approx((n * squares - total * total) / n / n / 100, rel=1e-12)


CHECKS = {"counter": check_counter, "list": check_list, "statistics": check_statistics}


@pytest.mark.parametrize("pattern", CHECKS)
def test_what_was_added_is_there(own: Cortex, pattern: str) -> None:
    CHECKS[pattern](own, pattern)


def test_what_is_done_under_a_lock_is_not_lost(own: Cortex) -> None:
    check_list(own, "lock")


def test_each_item_of_the_batch_is_recorded_once_and_in_order(own: Cortex) -> None:
    assert list(batch_results(own, "batch", "b")) == [item * 2 for item in ITEMS]
    assert own.mutable.get("batch", "b") == {"processed": len(ITEMS), "total": len(ITEMS)}


def test_each_word_has_exactly_the_documents_that_have_it(own: Cortex) -> None:
    left = [id for id in IDS if int(id.split("-")[1]) % 5 != 0]
    again = [id for id in left if int(id.split("-")[1]) % 3 == 0]
    first = [id for id in left if id not in again]

    def found(word: str) -> list[str]:
        return sorted(one.id for one in search_index(own, INDEX, word, limit=1000))

    assert found("all") == sorted(first)
    assert found("again") == sorted(again)
    assert found("worker3") == sorted(id for id in first if id.startswith("3-"))
    assert own.mutable.count(INDEX.documents) == len(left)
    assert own.mutable.count(INDEX.index) == len(first) * 3 + len(again) + len(left)


def test_each_transition_is_recorded_once(own: Cortex) -> None:
    state, history = state_of(own, JOBS, "shared"), transitions_of(own, JOBS, "shared")
    assert [one.data["step"] for one in history] == list(range(1, len(history) + 1))
    ways = [("waiting", "running"), ("running", "waiting")]
    assert all((one.data["from"], one.data["to"]) == ways[i % 2] for i, one in enumerate(history))
    assert (state.step, state.state) == (len(history), history[-1].data["to"])


def test_a_value_is_computed_once_or_again_if_its_process_was_killed(own: Cortex) -> None:
    computed = [record.value for record in own.mutable.list("cache-computed").records]
    assert len(computed) == STEPS
    assert sum(computed) <= STEPS + KILLS
    for step in range(STEPS):
        assert own.mutable.get("cache", f"page-{step}") == {"page": step}


@pytest.mark.parametrize("pattern", CHECKS)
def test_the_samples_as_they_stand_are_caught(own: Cortex, pattern: str) -> None:
    with pytest.raises(AssertionError):
        CHECKS[pattern](own, f"naive-{pattern}")

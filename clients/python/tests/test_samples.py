"""Programs that do what each sample of the pattern specification does, with `data_store` bound to a DataStore: they run
without a change. What they lose when many run at once, the functions of `cortex_store.patterns` do not lose: see
test_many_processes.py."""

from __future__ import annotations

import asyncio
import base64
import time
from datetime import datetime, timedelta
from typing import Any, Iterator

import pytest
from test_client import refused

from cortex_store import DataStore


@pytest.fixture
def data_store(options: dict[str, Any]) -> Iterator[DataStore]:
    with DataStore(namespace="default", **options) as store:
        yield store


def test_cache_aside(data_store: DataStore) -> None:
    async def run(url: str) -> Any:
        found = data_store.get(f"fetch:{url}")
        if found:
            return {"data": found, "source": "cache"}
        await asyncio.sleep(0)
        data_store.set(f"fetch:{url}", {"body": url}, metadata={"cached_at": datetime.now().isoformat()})
        return {"data": {"body": url}, "source": "fetched"}

    assert [asyncio.run(run("u"))["source"] for _ in range(2)] == ["fetched", "cache"]


def test_write_through(data_store: DataStore) -> None:
    cache = data_store.use_namespace("analysis-cache")
    cache.set("src/main.py", {"lines": 10})
    assert cache.get("src/main.py") == {"lines": 10}
    assert data_store.get("src/main.py") is None


def test_cache_with_a_time_of_its_own(data_store: DataStore) -> None:
    cache = data_store.use_namespace("timed-cache")

    def run() -> str:
        found = cache.get("k")
        if found:
            at = datetime.fromisoformat(found.get("_cached_at", "1970-01-01"))
            if datetime.now() - at < timedelta(hours=1):
                return "cache"
        cache.set("k", {"value": 1, "_cached_at": datetime.now().isoformat()})
        return "fresh"

    assert [run(), run()] == ["fresh", "cache"]
    cache.set("k", {"value": 1})
    assert run() == "fresh"
    cache.set("short", 1, ttl=0.2)
    assert cache.get("short") == 1
    time.sleep(0.4)
    assert cache.get("short", default="gone") == "gone"


def test_running_counter(data_store: DataStore) -> None:
    for expected in (1, 2, 3):
        current = data_store.get("processed-count", default=0)
        current += 1
        data_store.set("processed-count", current)
        assert current == expected


def test_append_to_a_list(data_store: DataStore) -> None:
    for n in range(3):
        items = data_store.get("collected-items", default=[])
        items.append({"value": n, "added_at": datetime.now().isoformat()})
        data_store.set("collected-items", items)
    assert [item["value"] for item in data_store.get("collected-items")] == [0, 1, 2]


def test_statistics(data_store: DataStore) -> None:
    for value in (0.1, 19.9, 3):
        stats = data_store.get("statistics", default={"count": 0, "sum": 0, "min": None, "max": None})
        stats["count"] += 1
        stats["sum"] += value
        stats["min"] = min(stats["min"], value) if stats["min"] else value
        stats["max"] = max(stats["max"], value) if stats["max"] else value
        stats["average"] = stats["sum"] / stats["count"]
        data_store.set("statistics", stats)
    assert data_store.get("statistics") == {"count": 3, "sum": 23.0, "min": 0.1, "max": 19.9, "average": 23 / 3}


def test_hierarchical_keys(data_store: DataStore) -> None:
    for key, value in (("config", {}), ("status", "active"), ("files:main.py", "m"), ("files:utils.py", "u")):
        data_store.set(f"project:7:{key}", value)
    assert data_store.list_keys(prefix="project:7:files:") == ["project:7:files:main.py", "project:7:files:utils.py"]


def test_namespaces_of_a_name_and_their_discovery(data_store: DataStore) -> None:
    for branch in ("main", "next"):
        store = data_store.use_namespace(f"repo:x:{branch}")
        store.set("commit", "abc")
        store.set("files", ["a", "b"])
    matching = [name for name in data_store.list_namespaces() if name.startswith("repo:")]
    summary = {name: len(data_store.use_namespace(name).list_keys()) for name in matching}
    assert summary == {"repo:x:main": 2, "repo:x:next": 2}


def test_state_machine(data_store: DataStore) -> None:
    start = {"status": "pending", "steps_completed": [], "current_step": None, "result": None}
    steps = ["fetch", "process", "validate", "complete"]

    def advance() -> Any:
        state = data_store.get("job:7", default=start)
        at = steps.index(state["current_step"]) if state["current_step"] else -1
        if at < len(steps) - 1:
            state["current_step"] = steps[at + 1]
            state["status"] = "in_progress"
            state["steps_completed"].append({"step": steps[at + 1], "completed_at": datetime.now().isoformat()})
            if steps[at + 1] == "complete":
                state["status"] = "completed"
            data_store.set("job:7", state)
        return state

    assert [advance()["status"] for _ in range(5)] == ["in_progress"] * 3 + ["completed"] * 2
    assert len(data_store.get("job:7")["steps_completed"]) == 4


def test_batch_with_a_checkpoint(data_store: DataStore) -> None:
    items = list(range(25))
    for expected in (10, 20, 25):
        checkpoint = data_store.get("batch-checkpoint", default={"processed": 0, "results": []})
        first = checkpoint["processed"]
        for item in items[first : first + 10]:
            checkpoint["results"].append(item * 2)
            checkpoint["processed"] += 1
        data_store.set("batch-checkpoint", checkpoint)
        assert checkpoint["processed"] == expected


def test_advisory_lock(data_store: DataStore) -> None:
    def run() -> Any:
        held = data_store.get("lock:r")
        if held and datetime.now() - datetime.fromisoformat(held["acquired_at"]) < timedelta(minutes=5):
            return {"error": "Resource locked", "locked_by": held["agent"]}
        data_store.set("lock:r", {"agent": "me", "acquired_at": datetime.now().isoformat()})
        return None

    assert run() is None
    assert run() == {"error": "Resource locked", "locked_by": "me"}
    data_store.delete("lock:r")
    assert run() is None


def test_keyword_index(data_store: DataStore) -> None:
    docs, index = data_store.use_namespace("documents"), data_store.use_namespace("keyword-index")
    docs.set("d1", {"content": "Hello world"})
    for keyword in ("hello", "world"):
        ids = index.get(keyword, default=[])
        if "d1" not in ids:
            ids.append("d1")
            index.set(keyword, ids)
    assert [docs.get(id) for id in index.get("hello", default=[])] == [{"content": "Hello world"}]


def test_what_the_samples_warn_of(data_store: DataStore) -> None:
    with refused("INVALID_VALUE", problem="is a bytes, which JSON cannot hold"):
        data_store.set("image", b"\x89PNG")
    data_store.set("image", {"data": base64.b64encode(b"\x89PNG").decode(), "mime_type": "image/png"})
    number = data_store.get("counter", 0)
    data_store.set("counter", number + 1)
    strict = DataStore(cortex=data_store.cortex, refuse_credentials=True)
    with refused("CREDENTIAL_REFUSED"):
        strict.set("api_key", "sk-secret-key")

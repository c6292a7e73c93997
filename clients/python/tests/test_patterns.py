"""The patterns: what they give, what they store (the same as in TypeScript), and how they refuse bad input."""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from test_client import refused

import cortex_store.patterns as patterns
import cortex_store.patterns.aio as aio_patterns
from cortex_store import AsyncCortex, AsyncDataStore, Cortex, DataStore
from cortex_store.patterns import (
    BinaryReference,
    Cached,
    FoundDocument,
    KeywordIndex,
    StateMachine,
    Statistics,
    add_to_statistics,
    append_bounded,
    batch_results,
    cache_aside,
    child_names,
    count,
    discover_namespaces,
    get_binary,
    get_reference,
    index_document,
    invalidate,
    join_name,
    keywords_of,
    lock,
    prefix_name,
    process_batch,
    put_binary,
    put_reference,
    refuse_credentials,
    remove_document,
    search_index,
    split_name,
    state_of,
    transition,
    transitions_of,
    write_through,
)


def unreachable() -> Any:
    raise AssertionError("it is cached")


def test_cache_aside_computes_once(cortex: Cortex, options: dict[str, Any]) -> None:
    assert cache_aside(cortex, "c", "k", lambda: {"a": 1}, ttl_seconds=60) == Cached({"a": 1}, "computed")
    assert cache_aside(cortex, "c", "k", unreachable, ttl_seconds=60) == Cached({"a": 1}, "cache")
    assert cortex.mutable.get("c", "k") == {"a": 1}
    computed: list[int] = []

    def compute() -> int:
        computed.append(1)
        return len(computed)

    def call(_: int) -> Cached:
        with Cortex(**options) as client:
            return cache_aside(client, "c", "many", compute, ttl_seconds=60)

    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(call, range(10)))
    assert computed == [1] and {one.value for one in results} == {1}


def test_cache_aside_caches_none_and_gives_the_old_value_meanwhile(cortex: Cortex) -> None:
    assert cache_aside(cortex, "c", "none", lambda: None, ttl_seconds=60, miss_ttl_seconds=5).source == "computed"
    assert cache_aside(cortex, "c", "none", unreachable, ttl_seconds=60) == Cached(None, "cache")
    write_through(cortex, "c", "k", "old", ttl_seconds=60, stale_seconds=60)
    cortex.mutable.delete("c", "k")  # as if its time were over
    begun, finish = threading.Event(), threading.Event()

    def compute() -> str:
        begun.set()
        assert finish.wait(20)
        return "new"

    times = {"ttl_seconds": 60, "stale_seconds": 60}
    with ThreadPoolExecutor(1) as pool:
        computing = pool.submit(lambda: cache_aside(cortex, "c", "k", compute, **times))
        assert begun.wait(20)
        assert cache_aside(cortex, "c", "k", unreachable, **times) == Cached("old", "stale")
        finish.set()
        assert computing.result(20) == Cached("new", "computed")
    assert invalidate(cortex, "c", "k") and not invalidate(cortex, "c", "k")


def test_cache_aside_fails_in_time_and_passes_errors_on(cortex: Cortex) -> None:
    cortex.claims.acquire("cache:c:k", ttl_seconds=60)
    with refused("CLAIM_NOT_HELD", claim="cache:c:k"):
        cache_aside(cortex, "c", "k", unreachable, ttl_seconds=60, wait=0.1)
    with pytest.raises(ZeroDivisionError):
        cache_aside(cortex, "c", "other", lambda: 1 // 0, ttl_seconds=60)
    assert cache_aside(cortex, "c", "other", lambda: 2, ttl_seconds=60).value == 2
    assert cache_aside(cortex, "c", "k" * 1024, lambda: 1, ttl_seconds=60).value == 1
    with refused("INVALID_TTL", field="stale_seconds"):
        cache_aside(cortex, "c", "k", lambda: 1, ttl_seconds=60, stale_seconds=-1)

    def loses_its_claim() -> str:
        claim = cortex.claims.get("cache:c:late")
        assert claim is not None
        cortex.claims.release(claim)
        write_through(cortex, "c", "late", "newer", ttl_seconds=60)
        return "older"

    assert cache_aside(cortex, "c", "late", loses_its_claim, ttl_seconds=60) == Cached("older", "computed")
    assert cortex.mutable.get("c", "late") == "newer"


def test_counter_list_and_statistics(cortex: Cortex) -> None:
    assert [count(cortex, "a", "n"), count(cortex, "a", "n", 0.1), count(cortex, "a", "n", "0.2")] == [1, 1.1, 1.3]
    assert count(cortex, "a", "n", 1, id="x") == count(cortex, "a", "n", 1, id="x") == 2.3
    for i in range(5):
        append_bounded(cortex, "a", "l", i, max_length=3, id=f"l-{i}")
    assert append_bounded(cortex, "a", "l", 4, max_length=3, id="l-4") == [2, 3, 4]
    assert append_bounded(cortex, "a", "l", 5, max_length=1) == [5]
    cortex.mutable.delete("a", "l")
    with refused("KEY_NOT_FOUND", key="l"):
        append_bounded(cortex, "a", "l", 4, max_length=3, id="l-4")
    for bad in (0, -1, 1.5, True, "3"):
        with refused("INVALID_LIMIT", field="max_length"):
            append_bounded(cortex, "a", "l", 1, max_length=bad)  # type: ignore[arg-type]
    cortex.mutable.set("a", "text", "t")
    for id in (None, "x"):
        with refused("VALUE_NOT_ARRAY"):
            append_bounded(cortex, "a", "text", 1, max_length=1, id=id)
    add_to_statistics(cortex, "a", "zero", 0)
    assert add_to_statistics(cortex, "a", "zero", 5) == Statistics(2, 5, 0, 5, 2.5, 6.25)
    assert cortex.mutable.get("a", "zero") == {
        **{"count": 2, "sum": 5, "min": 0, "max": 5, "mean": 2.5, "variance": 6.25, "squares": 25}
    }
    for _ in range(10):
        tenths = add_to_statistics(cortex, "a", "tenths", 0.1)
    assert (tenths.sum, tenths.min, tenths.max) == (1, 0.1, 0.1)
    for value in ("1000000000.1", "1000000000.2", 1000000000.3, Decimal("1000000000.4")):
        close = add_to_statistics(cortex, "a", "close", value)
    assert (close.variance, close.mean, close.sum) == (0.0125, 1000000000.25, 4000000001)
    long = add_to_statistics(cortex, "a", "long", "0.1234567890123456789")
    assert long.sum == Decimal("0.1234567890123456789")
    assert add_to_statistics(cortex, "a", "big", 2**70).sum == 2**70
    for nan in ("ten", "", "1e99999", float("nan"), None, True):
        with refused("INVALID_AMOUNT"):
            add_to_statistics(cortex, "a", "bad", nan)
    cortex.mutable.set("a", "other", {"count": 1})
    with refused("INVALID_DATA", field="sum"):
        add_to_statistics(cortex, "a", "other", 1)


def test_the_same_id_adds_to_each_key(cortex: Cortex) -> None:
    for key in ("one", "two", "k" * 1024):
        for _ in range(2):
            assert append_bounded(cortex, "a", key, 1, max_length=5, id="same") == [1]


def test_statistics_take_100_digits_below_1e150(cortex: Cortex) -> None:
    longest = f"0.{'1234567890' * 10}"
    for value in (longest, f"-{longest}", f"{'9' * 100}e49", "1e-150"):
        add_to_statistics(cortex, "a", value[:30], value)
    for value in (f"{longest}1", "1e150", "-1e150", "1e-151", 1e300, 10**150):
        with refused("INVALID_AMOUNT", field="value"):
            add_to_statistics(cortex, "a", "bad", value)
    assert cortex.mutable.get("a", "bad") is None


def test_patterns_refuse_a_key_that_holds_something_else(cortex: Cortex) -> None:
    machine = StateMachine("m", "a", {"a": ["b"]})
    for value in ("text", {"state": 5, "step": 1}, [1], {"state": "a", "step": 1, "data": None, "more": 1}):
        cortex.mutable.set("m", "k", value)
        with refused("INVALID_DATA", field="id"):
            state_of(cortex, machine, "k")
        with refused("INVALID_DATA", field="id"):
            transition(cortex, machine, "k", "b")
        with refused("INVALID_DATA", field="key"):
            process_batch(cortex, "m", "k", [1], lambda item: item)


def test_batches_whose_keys_begin_alike_keep_their_results(cortex: Cortex) -> None:
    process_batch(cortex, "b", "x", ["one"], lambda item: item)
    process_batch(cortex, "b", "x:1", ["other"], lambda item: item)
    assert list(batch_results(cortex, "b", "x")) == ["one"]


def test_an_id_of_a_counter_is_for_this_counter(cortex: Cortex) -> None:
    assert [count(cortex, "a", key, id="job-7") for key in ("one", "two", "one")] == [1, 1, 1]
    with refused("REQUEST_ID_REUSED"):
        count(cortex, "a", "one", 2, id="job-7")


def test_patterns_raise_what_was_refused_within_their_transaction(cortex: Cortex) -> None:
    large = "x" * 1_100_000
    index = KeywordIndex("docs", "words")
    machine = StateMachine("m", "a", {"a": ["b"]})
    for value, code in ((large, "VALUE_TOO_LARGE"), (float("nan"), "INVALID_VALUE")):
        calls = [
            lambda value=value: append_bounded(cortex, "p", "l", value, max_length=1, id="x"),
            lambda value=value: index_document(cortex, index, "d", value, {"w": 1}),
            lambda value=value: write_through(cortex, "p", "c", value, ttl_seconds=5),
            lambda value=value: process_batch(cortex, "p", "b", [1], lambda _: value),
            lambda value=value: transition(cortex, machine, "k", "b", data=value),
        ]
        for call in calls:
            with refused(code):
                call()
    assert {one.namespace for one in cortex.mutable.list_namespaces()} == set()


def test_an_id_is_one_of_its_scope(cortex: Cortex) -> None:
    for name in ("x", "y"):
        scope = cortex.scope("team", name)
        for _ in range(2):
            assert count(scope, "a", "n", id="job-7") == 1
            assert append_bounded(scope, "a", "l", 1, max_length=5, id="job-7") == [1]
    assert count(cortex, "a", "n", id="job-7") == 1
    for id in ("", 5, "\ud800"):
        with refused("INVALID_REQUEST_ID", field="id"):
            count(cortex, "a", "n", id=id)  # type: ignore[arg-type]
        with refused("INVALID_REQUEST_ID", field="id"):
            append_bounded(cortex, "a", "l", 1, max_length=5, id=id)  # type: ignore[arg-type]
    with refused("INVALID_KEY", field="key"):
        count(cortex, "a", "", id="job-7")


def test_a_search_reads_documents_that_are_null_or_large(cortex: Cortex) -> None:
    index = KeywordIndex("docs", "words")
    index_document(cortex, index, "none", None, {"word": 9})
    for i in range(6):
        index_document(cortex, index, f"d{i}", {"text": "x" * 900_000}, {"word": 1})
    assert [found.id for found in search_index(cortex, index, "word")] == ["none", *(f"d{i}" for i in range(6))]
    with refused("INVALID_BATCH", field="keywords"):
        index_document(cortex, index, "d", 1, {"word": float("inf")})
    with refused("INVALID_VALUE"):
        index_document(cortex, index, "d", float("nan"), {"word": 10**400})
    cortex.mutable.delete("docs", "d0")
    assert len(search_index(cortex, index, "word")) == 6


def test_a_data_store_refuses_what_it_cannot_use(cortex: Cortex) -> None:
    for bad, field in (({"cortex": 1}, "cortex"), ({"cortex": cortex, "address": "x:1"}, "cortex")):
        with refused("INVALID_OPTIONS", field=field):
            DataStore(**bad)  # type: ignore[arg-type]
    store = DataStore(cortex=cortex, namespace="s", refuse_credentials=True)
    with refused("INVALID_NAMESPACE", field="namespace"):
        store.use_namespace(3)  # type: ignore[arg-type]
    with refused("CREDENTIAL_REFUSED", path="value.metadata.api_key"):
        store.set("k", 1, metadata={"api_key": "abc"})
    store.set("k", 1, metadata={"by": "me"})
    with refused("INVALID_UPDATER", field="updater"):
        store.update("new", lambda d: d.update(a=1), default={})
    assert store.list_keys() == ["k"]


def test_a_pattern_takes_a_client_of_its_kind(cortex: Cortex, options: dict[str, Any]) -> None:
    async def main() -> None:
        async with AsyncCortex(**options) as aio:
            client: Any = aio
            for call in (
                lambda: cache_aside(client, "c", "k", lambda: 1, ttl_seconds=5),
                lambda: lock(client, "l"),
                lambda: list(batch_results(client, "c", "k")),
                lambda: aio_patterns.count(cortex, "c", "k"),  # type: ignore[arg-type]
            ):
                with refused("INVALID_OPTIONS", field="cortex"):
                    call()

    asyncio.run(main())


def test_a_state_machine_says_what_is_wrong(cortex: Cortex) -> None:
    with refused("INVALID_OPTIONS", field="transitions['a']"):
        StateMachine("m", "a", {"a": "b"})
    with refused("INVALID_OPTIONS", field="machine"):
        transition(cortex, {"name": "m"}, "k", "b")  # type: ignore[arg-type]
    with refused("INVALID_OPTIONS", field="index"):
        search_index(cortex, {"index": "i"}, "word")  # type: ignore[arg-type]
    machine = StateMachine("m", "a", {"a": ["b"], "b": ["c"]})
    with refused("TRANSITION_NOT_ALLOWED") as failed:
        transition(cortex, machine, "k", "b", from_state="x")
    assert failed.error.message == "k cannot go from a to b: the caller wants it from x"


def test_keywords_are_found_whatever_their_case(cortex: Cortex) -> None:
    index = KeywordIndex("docs", "words")
    index_document(cortex, index, "d", {"title": "R"}, {"Refund": 2, "refund": 1})
    assert [(found.id, found.score) for found in search_index(cortex, index, "REFUND")] == [("d", 3)]


def test_bad_input_of_patterns_is_refused(cortex: Cortex) -> None:
    for ttl in (0, -1):
        with refused("INVALID_TTL", field="ttl_seconds"):
            cache_aside(cortex, "c", "k", unreachable, ttl_seconds=ttl)
    number: Any = 5
    for call in (
        lambda: cache_aside(cortex, "c", "k", number, ttl_seconds=1),
        lambda: process_batch(cortex, "b", "y", [1], number),
    ):
        with refused("INVALID_OPTIONS"):
            call()
    with refused("INVALID_AMOUNT", field="value"):
        add_to_statistics(cortex, "a", "huge", 10**5000)
    with refused("INVALID_BATCH", field="items"):
        process_batch(cortex, "b", "y", (n for n in [1]), lambda item: item)  # type: ignore[arg-type]
    with refused("INVALID_VALUE", field="reference"):
        put_reference(cortex, "b", "y", {"url": "s3://x"})  # type: ignore[arg-type]
    with refused("INVALID_KEY", field="name"):
        split_name(5)  # type: ignore[arg-type]
    assert keywords_of(f"{'a' * 101} {'b' * 100}") == {"b" * 100: 1}


def test_names(cortex: Cortex) -> None:
    assert join_name("project", "7", "files", "main.py") == "project:7:files:main.py"
    assert prefix_name("repo", "x") == "repo:x:"
    for parts in (["a:b", "%3A", "100%"], ["é"], ["%25:"]):
        assert split_name(join_name(*parts)) == parts
    for bad in ([], ["a", ""], ["a", 5]):
        with refused("INVALID_KEY"):
            join_name(*bad)
    for path in (["project", "7", "config"], ["project", "7", "files", "a:1"], ["project", "70", "x"]):
        cortex.mutable.set("tree", join_name(*path), 1)
    assert child_names(cortex, "tree", "project", "7") == ["config", "files"]
    assert child_names(cortex, "tree") == ["project"]
    cortex.mutable.set_many("repo:x", {"a": 1, "b": 2, "c": 3})
    (found,) = discover_namespaces(cortex, "repo:", sample=2)
    assert (found.namespace, found.key_count, found.keys) == ("repo:x", 3, ["a", "b"])
    assert discover_namespaces(cortex, "repo:", sample=0)[0].keys == []


def test_state_machine(cortex: Cortex) -> None:
    jobs = StateMachine("jobs", "pending", {"pending": ["running"], "running": ["done", "failed"]})
    assert state_of(cortex, jobs, "j").state == "pending"
    transition(cortex, jobs, "j", "running", data={"worker": "w"})
    done = transition(cortex, jobs, "j", "done", from_state="running")
    assert (done.state, done.data, done.step) == ("done", {"worker": "w"}, 2)
    assert cortex.mutable.get("jobs", "j") == {"state": "done", "data": {"worker": "w"}, "step": 2}
    assert [one.data for one in transitions_of(cortex, jobs, "j")] == [
        {"from": "pending", "to": "running", "step": 1, "data": {"worker": "w"}},
        {"from": "running", "to": "done", "step": 2, "data": {"worker": "w"}},
    ]
    with refused("TRANSITION_NOT_ALLOWED", **{"from": "pending", "to": "done", "allowed": "running"}):
        transition(cortex, jobs, "other", "done")
    with refused("TRANSITION_NOT_ALLOWED", allowed=""):
        transition(cortex, jobs, "j", "running")
    with refused("TRANSITION_NOT_ALLOWED"):
        transition(cortex, jobs, "other", "running", from_state=["done", "failed"])
    assert transitions_of(cortex, jobs, "other") == []
    claim = cortex.claims.acquire("c", ttl_seconds=60)
    assert claim is not None
    claim.release()
    with refused("FENCE_STALE"):
        transition(cortex, jobs, "other", "running", claim=claim)


def test_batch(cortex: Cortex) -> None:
    fails = [True]

    def work(item: int) -> int:
        if item == 3 and fails[0]:
            raise ValueError("item 3")
        return item * 10

    def call() -> Any:
        return process_batch(cortex, "b", "run", [1, 2, 3, 4, 5], work, batch_size=2)

    assert call().results == [10, 20]
    with pytest.raises(ValueError, match="item 3"):
        call()
    fails[0] = False
    assert call().results == [30, 40]
    last = call()
    assert (last.processed, last.total, last.complete, last.results) == (5, 5, True, [50])
    assert call().results == []
    assert list(batch_results(cortex, "b", "run")) == [10, 20, 30, 40, 50]
    assert cortex.mutable.get("b", "run") == {"processed": 5, "total": 5}
    assert cortex.mutable.get("b", "run:000000000000004") == 50
    assert process_batch(cortex, "b", "none", [], work).complete
    with refused("INVALID_BATCH", field="items"):
        process_batch(cortex, "b", "run", [1], work)
    for bad in (0, -1, 1.5, True):
        with refused("INVALID_BATCH", field="batch_size"):
            process_batch(cortex, "b", "size", [1], work, batch_size=bad)  # type: ignore[arg-type]
    cortex.claims.acquire("batch:b:busy", ttl_seconds=60)
    with refused("CLAIM_NOT_HELD"):
        process_batch(cortex, "b", "busy", [1], work)


def test_lock(cortex: Cortex) -> None:
    with lock(cortex, "r", owner="agent-7") as held:
        held.mutable.set("ns", "k", 1)
        with refused("CLAIM_NOT_HELD", owner="agent-7"), lock(cortex, "r"):
            unreachable()
    with pytest.raises(ValueError), lock(cortex, "r"):
        raise ValueError("mine")
    with lock(cortex, "r"):
        pass


def test_keyword_index(cortex: Cortex) -> None:
    index = KeywordIndex("docs", "words")
    assert keywords_of("The café's CAFÉ: a b 日本語 x1, café!") == {"café": 3, "the": 1, "日本語": 1, "x1": 1}
    index_document(cortex, index, "a", {"t": "a"}, {"refund": 1, "policy": 1})
    index_document(cortex, index, "b:1", {"t": "b"}, {"refund": 5})
    index_document(cortex, index, "c", {"t": "c"}, {"refund": 1})

    def ids(query: str, limit: int = 10) -> list[str]:
        return [one.id for one in search_index(cortex, index, query, limit=limit)]

    assert ids("Refund policy") == ["a", "b:1", "c"]
    assert ids("refund", 2) == ["b:1", "a"]
    assert ids("ref") == []
    assert search_index(cortex, index, "policy refund")[0] == FoundDocument("a", {"t": "a"}, 2, 2)
    index_document(cortex, index, "a", {"t": "a2"}, {"policy": 2})
    assert ids("refund") == ["b:1", "c"]
    assert remove_document(cortex, index, "b:1") and not remove_document(cortex, index, "b:1")
    assert ids("refund") == ["c"] and not cortex.mutable.exists("docs", "b:1")
    assert cortex.mutable.list("words", key_prefix=":").records[0].value == {"policy": 2}
    for bad in ({f"w{i}": 1 for i in range(201)}, {"": 1}, {"a": 0}, {"a": float("nan")}, ["a"]):
        with refused("INVALID_BATCH", field="keywords"):
            index_document(cortex, index, "bad", {}, bad)  # type: ignore[arg-type]
    with refused("INVALID_LIMIT"):
        search_index(cortex, index, "a", limit=0)


def test_binary(cortex: Cortex) -> None:
    put_binary(cortex, "bin", "k", b"\x00\xff\x80\n", "image/png", metadata={"by": "a"}, request_id="r-1")
    record = cortex.mutable.get_record("bin", "k")
    assert record is not None and record.metadata == {"by": "a"}
    found = get_binary(cortex, "bin", "k")
    assert found is not None and (found.bytes, found.mime_type) == (b"\x00\xff\x80\n", "image/png")
    assert get_binary(cortex, "bin", "none") is None
    half = 512 * 1024
    put_binary(cortex, "bin", "max", bytes(half), "x/y")
    with refused("VALUE_TOO_LARGE", limit=str(half), got=str(half + 1)):
        put_binary(cortex, "bin", "more", bytes(half + 1), "x/y")
    with refused("INVALID_VALUE"):
        put_binary(cortex, "bin", "text", "text", "x/y")  # type: ignore[arg-type]
    cortex.mutable.merge("bin", "max", {"data": "AAAA"})
    with refused("INVALID_VALUE", problem="holds binary data that is damaged"):
        get_binary(cortex, "bin", "max")
    reference = BinaryReference("s3://bucket/key", "video/mp4", 2**33, "ab" * 32)
    put_reference(cortex, "bin", "ref", reference)
    assert get_reference(cortex, "bin", "ref") == reference
    with refused("INVALID_VALUE"):
        get_binary(cortex, "bin", "ref")
    with refused("INVALID_VALUE", field="size"):
        put_reference(cortex, "bin", "ref", BinaryReference("u", "m", -1, "ab" * 32))


@pytest.mark.parametrize(
    ("value", "name", "path"),
    [
        ("sk-secret-key", "api_key", "value"),
        ({"env": {"OPENAI": "sk-proj-0123456789abcdef"}}, "", "value.env.OPENAI"),
        (["ghp_0123456789abcdefghij0123456789abcdef"], "", "value[0]"),
        ("AKIAIOSFODNN7EXAMPLE", "", "value"),
        ({"clientSecret": "hunter2"}, "", "value.clientSecret"),
        ({"db-password": "x"}, "", "value.db-password"),
        ("postgres://user:pass@host/db", "", "value"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc", "", "value"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc", "", "value"),
        ("anything", "password", "value"),
    ],
)
def test_credentials_are_refused(value: Any, name: str, path: str) -> None:
    with refused("CREDENTIAL_REFUSED", path=path):
        refuse_credentials(value, name)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"password": None, "token_count": 7, "secret": ""}, ""),
        ("the task-sk ran; ask-me-anything-today", "note"),
        ({"passwordResetAt": "2026-01-01", "secretary": "Ann"}, ""),
        ("https://example.com/a:b@c", "url"),
    ],
)
def test_what_is_no_credential_passes(value: Any, name: str) -> None:
    refuse_credentials(value, name)


def test_data_store(options: dict[str, Any]) -> None:
    with DataStore(namespace="default", **options) as store:
        assert (store.get("k"), store.get("k", default=7)) == (None, 7)
        store.set("k", {"a": 1}, metadata={"by": "me"}, ttl=3600)
        store.set("none", None)
        assert (store.get("k", 7), store.get("none", 7), store.exists("none")) == ({"a": 1}, None, True)
        assert (store.delete("k"), store.delete("k")) == (True, False)
        many = {f"k{i:05}": i for i in range(2345)}
        for i in range(0, 2345, 1000):
            store.set_many(dict(list(many.items())[i : i + 1000]))
        assert store.list_keys(prefix="k") == list(many)
        assert store.get_all(prefix="k0000") == {key: many[key] for key in list(many)[:10]}
        assert store.get_many([*reversed(many), "x"]) == [*reversed(many.values()), None]
        large = store.use_namespace("large")
        for key in "abcdef":
            large.set(key, "x" * 1_000_000)
        assert [len(value) if value else None for value in large.get_many([*"abcdefg"])] == [1_000_000] * 6 + [None]
        assert store.list_namespaces() == ["default", "large"]
        assert store.list_namespaces(prefix="la") == ["large"]
        assert (large.clear(), large.list_keys()) == (6, [])
        assert store.increment("n", 0.1) == 0.1 and store.increment("n", 0.2) == 0.3
        assert store.append("l", 1) == [1] and store.append("l", 2, max_length=1) == [2]
        start: dict[str, Any] = {"items": []}
        assert store.update("u", lambda value: {"items": [*value["items"], 1]}, default=start) == {"items": [1]}
        store.update("v", lambda value: value["items"].append(1) or value, default=start)
        assert start == {"items": []}
        with refused("UPDATE_FAILED"):
            store.update("v", lambda value: 1 // 0)
        with refused("INVALID_VALUE", path="value"):
            store.set("image", b"bytes")
        with refused("INVALID_TTL"):
            store.set("k", 1, ttl=0)
        strict = DataStore(cortex=store.cortex, namespace="strict", refuse_credentials=True)
        key = "sk-0123456789abcdef"
        for write in (
            lambda: strict.set("k", {"key": key}),
            lambda: strict.set_many({"a": 1, "api_key": "x"}),
            lambda: strict.append("l", key),
            lambda: strict.append("l", key, max_length=1),
            lambda: strict.update("u", lambda _: key),
            lambda: strict.use_namespace("other").set("password", "x"),
        ):
            with refused("CREDENTIAL_REFUSED"):
                write()  # type: ignore[no-untyped-call]
        assert strict.list_keys() == []


def test_asyncio_has_the_same_patterns(options: dict[str, Any]) -> None:
    assert patterns.__all__ == aio_patterns.__all__
    for name in patterns.__all__:
        one, other = getattr(patterns, name), getattr(aio_patterns, name)
        if inspect.isfunction(one):
            assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters)

    async def main() -> None:
        async with AsyncCortex(**options) as cortex:
            p = aio_patterns

            async def compute() -> int:
                await asyncio.sleep(0.01)
                return 5

            results = await asyncio.gather(
                *(p.cache_aside(cortex, "c", "k", compute, ttl_seconds=60) for _ in range(10))
            )
            assert [one.source for one in results].count("computed") == 1
            assert await p.write_through(cortex, "c", "k", 6, ttl_seconds=60) == 6
            assert await p.invalidate(cortex, "c", "k")
            await asyncio.gather(*(p.add_to_statistics(cortex, "a", "s", 0.1, id=f"{i}") for i in range(10)))
            assert (await cortex.mutable.get("a", "s"))["sum"] == 1
            assert await p.count(cortex, "a", "n") == 1
            assert await p.append_bounded(cortex, "a", "l", 1, max_length=2) == [1]
            machine = StateMachine("m", "a", {"a": ["b"]})
            assert (await p.transition(cortex, machine, "i", "b")).state == "b"
            assert (await p.state_of(cortex, machine, "i")).step == 1
            assert len(await p.transitions_of(cortex, machine, "i")) == 1
            progress = await p.process_batch(cortex, "b", "k", [1, 2], lambda item: item)
            assert progress.complete and [one async for one in p.batch_results(cortex, "b", "k")] == [1, 2]
            async with p.lock(cortex, "r") as held:
                await held.mutable.set("ns", "k", 1)
            index = KeywordIndex("docs", "words")
            await p.index_document(cortex, index, "a", 1, {"word": 1})
            assert [one.id for one in await p.search_index(cortex, index, "word")] == ["a"]
            assert await p.remove_document(cortex, index, "a")
            await p.put_binary(cortex, "bin", "k", b"x", "t")
            assert (await p.get_binary(cortex, "bin", "k")).bytes == b"x"  # type: ignore[union-attr]
            await p.put_reference(cortex, "bin", "r", BinaryReference("u", "m", 1, "ab" * 32))
            assert (await p.get_reference(cortex, "bin", "r")).size == 1  # type: ignore[union-attr]
            assert await p.child_names(cortex, "docs") == []
            assert "ns" in [one.namespace for one in await p.discover_namespaces(cortex)]
        async with AsyncDataStore(**options) as store:
            await store.set("k", 1)
            await asyncio.gather(*(store.update("k", lambda n: n + 1) for _ in range(10)))
            assert (await store.get("k"), await store.list_keys()) == (11, ["k"])
            assert await store.use_namespace("other").get_many(["a"]) == [None]

    asyncio.run(main())

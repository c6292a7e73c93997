"""JSON text and back: nothing is lost, nothing is changed, and what JSON cannot hold is refused with its path."""

from __future__ import annotations

import copy
import enum
import json
import pickle
from collections import OrderedDict
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_store import Cortex, CortexError
from cortex_store._core.jsontext import parse, to_json

names = st.text(st.characters(codec="utf-8"), max_size=5)
values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@given(values)
def test_a_value_comes_back(value: Any) -> None:
    assert parse(to_json(value)) == value
    assert json.loads(to_json(value)) == value


@given(numbers)
def test_a_number_that_nobody_touched_is_written_with_the_text_that_it_had(text: str) -> None:
    assert to_json(parse(text)) == text
    assert to_json(parse(f'{{"a":[{text},1.5]}}')) == f'{{"a":[{text},1.5]}}'


@given(numbers)
def test_a_number_is_what_it_says(text: str) -> None:
    assert Decimal(str(parse(text))) == Decimal(text) or isinstance(parse(text), int)
    assert parse(text) == Decimal(text) or isinstance(parse(text), float)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1", int),
        ("123456789012345678901234567890", int),
        ("-0", int),
        ("1e400", int),
        ("9" * 6000, int),
        ("1.5", float),
        ("19.90", float),
        ("1.0", float),
        ("1e2", float),
        ("-0.0", float),
        ("1e99999999999999999999", Decimal),
        ("-1e-99999999999999999999", Decimal),
        ("0.1", float),
        ("0.1234567890123456789", Decimal),
        ("1.5e400", int),
        ("1e-400", Decimal),
    ],
)
def test_the_type_of_a_number(text: str, kind: type) -> None:
    value = parse(text)
    assert isinstance(value, kind)
    assert to_json(value) == text
    assert to_json(pickle.loads(pickle.dumps(value))) == text
    assert to_json(copy.deepcopy([value])) == f"[{text}]"


def test_arithmetic_with_what_was_read_gives_plain_numbers() -> None:
    stats = parse('{"sum":19.90,"count":1}')
    stats["sum"] += 0.1
    stats["count"] += 1
    assert to_json(stats) == '{"sum":20.0,"count":2}'
    assert type(stats["sum"]) is float


@pytest.mark.parametrize("digits", [4299, 4300, 4301, 19_999, 20_000, 20_001, 100_000])
def test_integers_of_any_size(digits: int) -> None:
    text = "7" * digits
    assert to_json(parse(text)) == text
    value = parse(text)
    assert value == int(Decimal("7" * 1000)) if digits == 1000 else value > 10**1000


def test_an_integer_of_python_that_str_refuses_is_written() -> None:
    assert to_json(10**6000) == "1" + "0" * 6000
    assert to_json({"n": -(10**6000)}) == '{"n":-1' + "0" * 6000 + "}"


def test_depth_up_to_the_limit_of_the_server() -> None:
    value: Any = 1
    for _ in range(1000):
        value = [value]
    text = to_json(value)
    assert text == "[" * 1000 + "1" + "]" * 1000
    assert to_json(parse(text)) == text
    named = '{"a":[' * 500 + '"]}\\"{"' + "]}" * 500
    assert to_json(parse(named)) == named
    with pytest.raises(CortexError) as raised:
        to_json([value])
    assert raised.value.code == "VALUE_TOO_DEEP"
    assert raised.value.details == {"field": "value", "limit": "1000", "got": "1001"}


def test_half_a_surrogate_pair_travels_as_its_escape() -> None:
    assert to_json("a\ud800b") == '"a\\ud800b"'
    assert parse('"a\\ud800b"') == "a\ud800b"
    assert to_json({"\udc00": "é😀"}) == '{"\\udc00":"é😀"}'


class Color(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


def test_subclasses_are_written_as_what_they_are() -> None:
    assert to_json([OrderedDict(a=1), (1, 2), True]) == '[{"a":1},[1,2],true]'
    assert to_json([Color.RED, Level.LOW, Decimal("1.10"), Decimal("1E+3")]) == '["red",1,1.10,1E+3]'


cycle: dict[str, Any] = {"a": []}
cycle["a"].append(cycle)


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ({"a": [1, float("nan")]}, "value.a[1]", "is nan"),
        ([float("inf")], "value[0]", "is inf"),
        (Decimal("NaN"), "value", "is NaN"),
        ({"a": {1, 2}}, "value.a", "is a set, which JSON cannot hold"),
        (b"bytes", "value", "is a bytes, which JSON cannot hold"),
        ({"a b": {"x": object()}}, 'value["a b"].x', "is a object, which JSON cannot hold"),
        (cycle, "value.a[0]", "is a cycle: it holds itself"),
        ({"a": {1: 2}}, "value.a", "has a key that is not a str but int: 1"),
        ({None: 2}, "value", "has a key that is not a str but None: None"),
        ([datetime.now(timezone.utc)], "value[0]", "is a datetime, which JSON cannot hold"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_path(value: Any, path: str, problem: str) -> None:
    with pytest.raises(CortexError) as raised:
        to_json(value)
    assert raised.value.code == "INVALID_VALUE"
    assert raised.value.details == {"path": path, "problem": problem}
    assert raised.value.message == f"{path} {problem}"


def test_the_same_part_twice_is_no_cycle() -> None:
    part = [1]
    assert to_json([part, part]) == "[[1],[1]]"


@settings(max_examples=30, deadline=None)
@given(values)
def test_through_the_server(session_cortex: Cortex, value: Any) -> None:
    session_cortex.mutable.set("json", "k", value)
    assert session_cortex.mutable.get("json", "k") == value


@pytest.mark.parametrize(
    "text", ["19.90", "-0", "1e2", "1e400", "0.1234567890123456789", "7" * 20_001, '{"a":[1.0,1.10]}', '"\\ud800"']
)
def test_an_update_leaves_untouched_what_it_does_not_touch(session_cortex: Cortex, text: str) -> None:
    session_cortex.mutable.set("json", "u", {"kept": parse(text), "n": 1})
    session_cortex.mutable.update("json", "u", lambda value: {**value, "n": value["n"] + 1})
    session_cortex.mutable.set("json", "copy", session_cortex.mutable.get("json", "u"))
    assert to_json(session_cortex.mutable.get("json", "copy")) == f'{{"kept":{text},"n":2}}'

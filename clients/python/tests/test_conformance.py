"""Runs the conformance table of test/conformance through both Python clients."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator

import pytest
from conftest import ROOT, Server

from cortex_store import AsyncCortex, Cortex, CortexError, Guard
from cortex_store._core.jsontext import parse, to_json

TABLE = ROOT / "test" / "conformance"
CONTENT = {"value", "data", "metadata", "profile", "element", "patch"}
WHOLE_CALLS = {"mutable.get", "mutable.getMany"}
# What has another name in Python than a rule would give it.
RENAMED = {"from": "start", "to": "end", "min_idle_seconds": "min_idle"}


def cases() -> Iterator[Any]:
    for file in sorted(TABLE.glob("*.json")):
        for case in parse(file.read_text("utf-8")):
            yield pytest.param(case, id=f"{file.stem}: {case['name']}")


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def python_args(args: dict[str, Any]) -> dict[str, Any]:
    """The arguments under their names in Python; what was stored stays as it is."""
    found = {}
    for name, value in args.items():
        renamed = RENAMED.get(snake(name), snake(name))
        if name not in CONTENT and isinstance(value, list):
            value = [python_args(one) if isinstance(one, dict) else one for one in value]
        if name in ("sortBy", "op"):
            value = snake(value)
        found[renamed] = Guard(**value) if name == "claim" else value
    return found


def expand(value: Any, saved: dict[str, Any]) -> Any:
    """Puts in what was saved, and what is too long for the file."""
    if isinstance(value, str) and value[:1] == "$" and value[1:] in saved:
        return saved[value[1:]]
    if isinstance(value, list):
        return [expand(one, saved) for one in value]
    if not isinstance(value, dict):
        return value
    if "$repeat" in value:
        return value["$repeat"][0] * value["$repeat"][1]
    if "$times" in value:
        return [value["$times"][1]] * value["$times"][0]
    if "$time" in value:
        return datetime.fromisoformat(value["$time"].replace("Z", "+00:00"))
    if "$deep" in value:
        deep: Any = 1
        for _ in range(value["$deep"]):
            deep = [deep]
        return deep
    return {name: expand(one, saved) for name, one in value.items()}


def call_of(cortex: Any, call: str, args: dict[str, Any]) -> Any:
    """Makes a call. The result may have to be awaited."""
    surface = cortex
    for step in args.pop("scope", []):
        surface = surface.scope(step["key"], step["identifier"])
    area, method = call.split(".")
    method = snake(method)
    if call == "transaction.list":
        return surface.mutable.transaction(args.pop("operations"), **args)
    if call == "scopes.list":
        return surface.scopes()
    if call == "scopes.purge":
        return surface.purge()
    if call in ("claims.renew", "claims.release"):
        guard = Guard(args.pop("name"), args.pop("fence"))
        return getattr(surface.claims, method)(guard, **args)
    if area == "group":
        group = surface.streams.group(args.pop("group"), args.pop("consumer"))
        return getattr(group, method)(**args)
    return getattr(getattr(cortex if area == "users" else surface, area), method)(**args)


def shown(call: str, result: Any) -> Any:
    """The result in the form of the table, where Python has another."""
    if call == "group.nack":
        return result.given_back
    if call == "group.ensure":
        return {"created": result}
    return result


def member(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list):
        return value[int(name)]
    if name == "published":
        return value.channel
    return getattr(value, snake(name))


def difference(expected: Any, got: Any, path: str, is_whole: bool) -> str:
    """The first difference; "" if the outcome is as expected. Members that are not expected may be there."""
    differs = f"{path} is {got!r:.200}, expected {expected!r:.200}"
    if is_whole:
        return "" if got == expected and to_json(got) == to_json(expected) else differs
    if expected is None or isinstance(expected, datetime):
        return "" if got == expected else differs
    if isinstance(expected, list):
        if len(got) != len(expected):
            return differs
        found = (difference(one, got[i], f"{path}[{i}]", False) for i, one in enumerate(expected))
        return next((one for one in found if one), "")
    if not isinstance(expected, dict):
        return "" if got == expected and type(got) is type(expected) else differs
    if "$length" in expected:
        return "" if len(got) == expected["$length"] else differs
    if got is None or isinstance(got, (str, int, float, list)):
        return differs
    for name, one in expected.items():
        unlike = difference(one, member(got, name), f"{path}.{name}", name in CONTENT)
        if unlike:
            return unlike
    return ""


def plain(field: str) -> str:
    """The name of a field as all languages have it."""
    return re.sub(r"_?json$", "", field, flags=re.IGNORECASE).replace("_", "").lower()


async def run(case: dict[str, Any], cortex: Any) -> None:
    saved: dict[str, Any] = {}
    for i, one in enumerate(case["calls"]):
        call, args = one["call"], expand(one["args"], saved)
        where = f"call {i}, {call}"
        try:
            result = call_of(cortex, call, python_args(args))
            if inspect.isawaitable(result):
                result = await result
        except CortexError as error:
            assert "error" in one, f"{where}: {error!r} {error.details}"
            assert (where, error.code) == (where, one["error"]["code"])
            for name, value in expand(one["error"].get("details", {}), saved).items():
                got = error.details.get(name)
                if name == "field":
                    got, value = plain(got), plain(value)
                assert (where, name, got) == (where, name, value)
            continue
        assert "error" not in one, f"{where} gave {result!r}, expected {one['error']}"
        result = shown(call, result)
        if "result" in one:
            unlike = difference(expand(one["result"], saved), result, "result", call in WHOLE_CALLS)
            assert not unlike, f"{where}: {unlike}"
        for name, path in one.get("save", {}).items():
            at = result
            for part in path.split("."):
                at = member(at, part)
            saved[name] = at


@pytest.mark.parametrize("case", list(cases()))
@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_conformance(kind: str, case: dict[str, Any], server: Server) -> None:
    options: dict[str, Any] = {
        "address": server.address,
        "tenant_id": f"conformance-{uuid.uuid4()}",
        "agent_id": "owner",
        "timeout": 20,
    }

    async def with_client() -> None:
        if kind == "asyncio":
            async with AsyncCortex(**options) as client:
                await run(case, client)
            return
        client = Cortex(**options)
        await run(case, client)
        threading.Thread(target=client.close).start()  # it may take 0.2 s

    asyncio.run(with_client())


def test_the_table_is_there() -> None:
    assert Path(TABLE).is_dir() and sum(1 for _ in cases()) >= 160

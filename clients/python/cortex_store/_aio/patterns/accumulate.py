"""Counters, lists and statistics that many callers add to."""

from __future__ import annotations

from typing import Any, Callable, Optional

from ..._core.errors import CortexError, refused
from ..._core.patterns.derived_names import count_id, done_key
from ..._core.patterns.statistics import Statistics, added_number, statistics_of, statistics_with
from ..._core.patterns.unwrap_errors import unwrapped_errors
from ..scopes import AsyncSurface
from ..transactions import AsyncTransaction
from .takes_client import takes_client

_DAY_SECONDS = 86_400.0


@takes_client
async def count(cortex: AsyncSurface, namespace: str, key: str, by: Any = 1, *, id: Optional[str] = None) -> Any:
    """Adds to a counter, which begins at 0, and gives its new value.

    :param by: an int, a float, a Decimal or decimal text: exact.
    :param id: an id for this addition: any text that is not empty. Several calls with the same id within 24 hours, from
        any process, add only once: a later call gives what the first one gave. Use it if the caller may die
        before it gets the answer. Default: each call adds.

    Raises VALUE_NOT_NUMERIC, INVALID_AMOUNT, REQUEST_ID_REUSED (the id with another amount).

    >>> runs = await count(cortex, "stats", "runs")
    """
    request_id = None if id is None else count_id(cortex.path, namespace, key, id)
    record = await cortex.mutable.increment(namespace, key, by, create_if_missing=True, request_id=request_id)
    return record.value


@takes_client
async def append_bounded(
    cortex: AsyncSurface, namespace: str, key: str, element: Any, *, max_length: int, id: Optional[str] = None
) -> list[Any]:
    """Appends to a list, which begins empty and keeps its last ``max_length`` elements. Gives the list.

    :param id: as in ``count``, but a later call gives the list as it is then.

    Raises VALUE_NOT_ARRAY, KEY_NOT_FOUND (deleted since the first call under this id), INVALID_LIMIT
    (``max_length``), INVALID_VALUE, VALUE_TOO_LARGE.

    >>> items = await append_bounded(cortex, "runs", "last", {"id": run}, max_length=100)
    """
    if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1:
        raise refused("INVALID_LIMIT", "max_length", f"is not a whole number above 0: {max_length!r}")

    def change(items: Any) -> list[Any]:
        if items is not None and not isinstance(items, list):
            raise refused("VALUE_NOT_ARRAY", key, "does not hold a list")
        return [*(items or []), element][-max_length:]

    changed: list[Any] = await _update_once(cortex, namespace, key, id, change)
    return changed


@takes_client
async def add_to_statistics(
    cortex: AsyncSurface, namespace: str, key: str, value: Any, *, id: Optional[str] = None
) -> Statistics:
    """Adds a value to running statistics, and gives them. Sum, minimum and maximum are exact decimals: 0.1
    added ten times is 1. Mean and variance are computed from exact sums, and then rounded.

    :param value: an int, a float, a Decimal or decimal text, of at most 100 digits, below 1e150.
    :param id: as in ``count``, but a later call gives the statistics as they are then.

    Raises INVALID_AMOUNT; KEY_NOT_FOUND (deleted since the first call under this id); INVALID_DATA if the
    key holds something else.

    >>> latency = await add_to_statistics(cortex, "stats", "latency-ms", 12.5)
    """
    added = added_number(value)
    stored = await _update_once(cortex, namespace, key, id, lambda before: statistics_with(before, added))
    return statistics_of(stored)


async def _update_once(
    cortex: AsyncSurface, namespace: str, key: str, id: Optional[str], change: Callable[[Any], Any]
) -> Any:
    """Changes a value by a function; with an id, only the first call under that id changes it. Gives the
    value after the change; for a later call, the current value. What the function raises is raised."""
    with unwrapped_errors():
        if id is None:
            record = await cortex.mutable.update(namespace, key, change, create_if_missing=True)
            return record.value
        marker = (f"{namespace}:done", done_key(key, id))
        return await cortex.mutable.transaction(lambda tx: _change_in(tx, namespace, key, marker, change))


async def _change_in(
    tx: AsyncTransaction, namespace: str, key: str, marker: tuple[str, str], change: Callable[[Any], Any]
) -> Any:
    was_done = await tx.exists(*marker)
    before = await tx.get(namespace, key)
    if was_done and before is None:
        message = f"the value was added under this id before, and {key} has been deleted since"
        raise CortexError("KEY_NOT_FOUND", message, {"namespace": namespace, "key": key})
    if was_done:
        return before
    changed = change(before)
    await tx.update(namespace, key, lambda _: changed, create_if_missing=True)
    await tx.set(*marker, True, ttl_seconds=_DAY_SECONDS)
    return changed

"""Reads many values, however many and however large they are."""

from __future__ import annotations

from typing import Any, Sequence

from ..._core.errors import CortexError
from ..scopes import AsyncSurface

_KEYS_MAX = 1000  # the server's limit


async def read_many(cortex: AsyncSurface, namespace: str, keys: Sequence[str]) -> list[Any]:
    """The values in the order of the keys; None for a key that does not exist."""
    values: list[Any] = []
    for i in range(0, len(keys), _KEYS_MAX):
        values.extend(await _read_some(cortex, namespace, keys[i : i + _KEYS_MAX]))
    return values


async def _read_some(cortex: AsyncSurface, namespace: str, keys: Sequence[str]) -> list[Any]:
    try:
        return await cortex.mutable.get_many(namespace, keys)
    except CortexError as error:
        if error.code != "REPLY_TOO_LARGE" or len(keys) == 1:
            raise
    half = len(keys) // 2
    before = await _read_some(cortex, namespace, keys[:half])
    return [*before, *(await _read_some(cortex, namespace, keys[half:]))]

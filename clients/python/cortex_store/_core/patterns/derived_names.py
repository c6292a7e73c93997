"""The names that patterns derive from a key: of claims, request ids, and notes of what was done."""

from __future__ import annotations

import hashlib
from typing import Sequence

from ..errors import refused
from ..options import ScopeStep
from ..validate import text
from .names import join_name

_CLAIM_BYTES_MAX = 512  # the server's limits
_KEY_BYTES_MAX = 1024


def claim_name(pattern: str, namespace: str, key: str) -> str:
    """The claim of a pattern for a key. A name that would be too long ends in a digest of it."""
    name = f"{pattern}:{namespace}:{key}"
    return name if len(_bytes(name)) <= _CLAIM_BYTES_MAX else f"{pattern}:{_digest(name)}"


def count_id(path: Sequence[ScopeStep], namespace: str, key: str, id: str) -> str:
    """The request id of an addition to a counter. Each counter has ids of its own, also in each scope: a request id is
    one of the tenant."""
    steps = [part for step in path for part in step]
    names = (
        _named(namespace, "namespace", "INVALID_NAMESPACE"),
        _named(key, "key", "INVALID_KEY"),
        _named(id, "id", "INVALID_REQUEST_ID"),
    )
    return _digest(join_name(*steps, *names))


def done_key(key: str, id: str) -> str:
    """The key that notes what was done to a key under an id. One that would be too long is a digest."""
    name = join_name(_named(key, "key", "INVALID_KEY"), _named(id, "id", "INVALID_REQUEST_ID"))
    return name if len(_bytes(name)) <= _KEY_BYTES_MAX else _digest(name)


def _named(value: str, field: str, code: str) -> str:
    if text(value, field, code) == "":
        raise refused(code, field, "is empty")
    return value


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "replace")


def _digest(name: str) -> str:
    return hashlib.sha256(_bytes(name)).hexdigest()

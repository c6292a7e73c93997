"""What caches, batches and binary data give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cached:
    value: Any
    source: str
    """``cache``: it was fresh. ``stale``: it is an old one, and somebody computes the next. ``computed``:
    this call did."""


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is."""

    processed: int
    total: int
    complete: bool
    results: list[Any] = field(default_factory=list)
    """The results that this call has recorded, in the order of the items."""


@dataclass(frozen=True)
class Binary:
    bytes: bytes
    mime_type: str


@dataclass(frozen=True)
class BinaryReference:
    """Where binary data is that the store does not hold."""

    url: str
    """Where it is, such as ``s3://bucket/key``."""
    mime_type: str
    size: int
    """Its size in bytes."""
    sha256: str
    """SHA-256 of the data, in hexadecimal, so that a reader can check it."""

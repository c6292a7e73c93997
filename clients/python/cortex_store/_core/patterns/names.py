"""Names that have several parts, joined by ``:``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import refused
from ..validate import text


@dataclass(frozen=True)
class NamespaceOverview:
    namespace: str
    key_count: int
    """How many keys it has."""
    keys: list[str]
    """The first of them, in bytewise order."""


def join_name(*parts: str) -> str:
    """Joins parts to a name: ``join_name("project", id, "files", "main.py")`` is
    ``project:<id>:files:main.py``. A ``:`` within a part is written as ``%3A``, and ``%`` as ``%25``, so
    that different parts never make the same name.

    Raises INVALID_KEY if a part is empty or no text.
    """
    if not parts:
        raise refused("INVALID_KEY", "parts", "is empty: give at least one part")
    return ":".join(_encoded(part, i) for i, part in enumerate(parts))


def prefix_name(*parts: str) -> str:
    """The prefix of every name below these parts: the parts, joined, and a ``:``."""
    return f"{join_name(*parts)}:"


def split_name(name: str) -> list[str]:
    """The parts of a name that ``join_name`` made."""
    parts = text(name, "name", "INVALID_KEY").split(":")
    return [part.replace("%3A", ":").replace("%25", "%") for part in parts]


def _encoded(part: Any, index: int) -> str:
    if text(part, f"parts[{index}]", "INVALID_KEY") == "":
        raise refused("INVALID_KEY", f"parts[{index}]", "is empty")
    encoded: str = part.replace("%", "%25").replace(":", "%3A")
    return encoded

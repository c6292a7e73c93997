"""Generated from _aio/patterns/lock.py by tools/generate.py: change that file."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Optional

from ..claims import Claim
from ..scopes import Surface
from .takes_client import takes_client


@takes_client
def lock(
    cortex: Surface, resource: str, *, ttl_seconds: float = 300, wait: float = 0, owner: Optional[str] = None
) -> AbstractContextManager[Claim]:
    """A block in which the lock of a resource is held. It is renewed meanwhile, and released at the end. What
    is written through ``held.mutable``, ``held.immutable``, ``held.events`` and ``held.streams`` fails
    with FENCE_STALE once this caller does not hold the lock any more.

    :param ttl_seconds: after how many seconds the lock of a process that died is free.
    :param wait: how many seconds to wait for the lock, in the order of arrival.
    :param owner: who holds it, for others to see. Default: the ``agent_id`` of the client.

    Raises CLAIM_NOT_HELD if the resource is locked (``details["owner"]``: by whom).

    >>> with lock(cortex, "report") as held:
    ...     held.mutable.set("reports", "today", build())
    """
    return cortex.claims.hold(f"lock:{resource}", ttl_seconds=ttl_seconds, wait=wait, owner=owner)

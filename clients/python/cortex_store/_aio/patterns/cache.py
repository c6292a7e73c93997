"""Caches: one caller computes a missing value while the others wait for it or take the old one."""

from __future__ import annotations

from typing import Any, Callable, Optional

from ..._core.errors import CortexError, refused
from ..._core.patterns.derived_names import claim_name
from ..._core.patterns.results import Cached
from ..._core.patterns.unwrap_errors import unwrapped_errors
from ..._core.validate import seconds
from ..io import check_callable, result_of
from ..mutable import AsyncMutable
from ..scopes import AsyncSurface
from .takes_client import takes_client

_MISSING = object()


def _stale_of(namespace: str) -> str:
    """The namespace of the values that may still be given when they are not fresh any more."""
    return f"{namespace}:stale"


@takes_client
async def cache_aside(
    cortex: AsyncSurface,
    namespace: str,
    key: str,
    compute: Callable[[], Any],
    *,
    ttl_seconds: float,
    stale_seconds: float = 0,
    miss_ttl_seconds: Optional[float] = None,
    wait: float = 60,
    claim_seconds: float = 10,
) -> Cached:
    """Gives the value of a key, or computes it if none is cached. One caller among all processes computes a
    missing value, under a claim. The others wait for the value, or take the old one (``stale_seconds``).
    If the process that computes dies, another caller computes. If ``compute`` raises, that caller gets the
    error, and a waiting caller computes.

    :param compute: gives any JSON value; None is cached too.
    :param ttl_seconds: for how long the value is fresh: above 0.
    :param stale_seconds: for how many seconds more it may be given while somebody computes the next one.
    :param miss_ttl_seconds: seconds for which a computed None is fresh: a result that does not exist is
        cached too. Default: ``ttl_seconds``.
    :param wait: how many seconds to wait for the caller that computes.
    :param claim_seconds: if the process that computes dies, another caller may compute after this many
        seconds.

    Raises CLAIM_NOT_HELD if the value was not there after ``wait``; INVALID_TTL; and what ``compute`` raises.

    >>> page = await cache_aside(cortex, "pages", url, lambda: fetch_page(url), ttl_seconds=3600)
    """
    times = _times(ttl_seconds, stale_seconds, miss_ttl_seconds)
    check_callable(compute, "compute")
    fresh = await cortex.mutable.get(namespace, key, default=_MISSING)
    if fresh is not _MISSING:
        return Cached(fresh, "cache")
    old = _MISSING
    if stale_seconds > 0:
        old = await cortex.mutable.get(_stale_of(namespace), key, default=_MISSING)
    claim = claim_name("cache", namespace, key)
    patience = wait if old is _MISSING else 0
    is_held = False
    try:
        async with cortex.claims.hold(claim, ttl_seconds=claim_seconds, wait=patience) as held:
            is_held = True
            # Another caller may have computed it while this one waited.
            found = await cortex.mutable.get(namespace, key, default=_MISSING)
            if found is not _MISSING:
                return Cached(found, "cache")
            value = await result_of(compute())
            try:
                await _store(held.mutable, namespace, key, value, times)
            except CortexError as error:
                # The claim was lost meanwhile, so another caller computes too: what it stores is newer.
                if error.code != "FENCE_STALE":
                    raise
            return Cached(value, "computed")
    except CortexError as error:
        if is_held or error.code != "CLAIM_NOT_HELD":
            raise
        if old is not _MISSING:
            return Cached(old, "stale")
        raise CortexError("CLAIM_NOT_HELD", f"the value of {key} was not computed in time", {"claim": claim}) from None


@takes_client
async def write_through(
    cortex: AsyncSurface,
    namespace: str,
    key: str,
    value: Any,
    *,
    ttl_seconds: float,
    stale_seconds: float = 0,
    miss_ttl_seconds: Optional[float] = None,
) -> Any:
    """Caches a value that the caller has, whether or not one is cached. Gives the value.

    >>> analysis = await write_through(cortex, "analyses", path, analyze(path), ttl_seconds=3600)
    """
    times = _times(ttl_seconds, stale_seconds, miss_ttl_seconds)
    await _store(cortex.mutable, namespace, key, value, times)
    return value


@takes_client
async def invalidate(cortex: AsyncSurface, namespace: str, key: str) -> bool:
    """Removes a key from the cache, also as an old value. Gives whether there was one."""
    old = await cortex.mutable.delete(_stale_of(namespace), key)
    fresh = await cortex.mutable.delete(namespace, key)
    return old.deleted or fresh.deleted


_Times = tuple[float, float, float]


def _times(ttl_seconds: Any, stale_seconds: Any, miss_ttl_seconds: Any) -> _Times:
    ttl = seconds(ttl_seconds)
    miss = ttl if miss_ttl_seconds is None else seconds(miss_ttl_seconds, "miss_ttl_seconds")
    stale = seconds(stale_seconds, "stale_seconds")
    for field, value in (("ttl_seconds", ttl), ("miss_ttl_seconds", miss)):
        if value <= 0:
            raise refused("INVALID_TTL", field, f"is not above 0: {value}")
    if stale < 0:
        raise refused("INVALID_TTL", "stale_seconds", f"is below 0: {stale_seconds}")
    return ttl, stale, miss


async def _store(mutable: AsyncMutable, namespace: str, key: str, value: Any, times: _Times) -> None:
    """Stores a value, and the old value beside it if there is to be one."""
    ttl, stale, miss = times
    lasts = miss if value is None else ttl
    entries = [{"op": "set", "namespace": namespace, "key": key, "value": value, "ttl_seconds": lasts}]
    if stale > 0 and value is not None:
        entries.append({**entries[0], "namespace": _stale_of(namespace), "ttl_seconds": lasts + stale})
    with unwrapped_errors():
        await mutable.transaction(entries)

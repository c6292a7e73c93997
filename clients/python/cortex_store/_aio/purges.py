"""Purges of MutableStore: at once, or in steps."""

from __future__ import annotations

import uuid
from typing import Any, Callable, Optional

from .._core.errors import refused
from .._core.options import ClaimGuard
from .._core.records import PurgeProgress, PurgeResult
from .._core.validate import flag, text, whole
from .io import check_callable, result_of
from .transport import AsyncTransport

_PURGE_SECONDS = 60.0


async def run_purge(
    transport: AsyncTransport,
    method: Any,
    request: Any,
    dry_run: bool,
    stepped: bool,
    entries_per_step: int,
    on_progress: Optional[Callable[[PurgeProgress], Any]],
    request_id: Optional[str],
    claim: Optional[ClaimGuard],
    timeout: Optional[float],
) -> PurgeResult:
    """Purges what a request names. In steps, each step has a request id of its own."""
    request.dry_run = flag(dry_run, "dry_run")
    if on_progress is not None:
        check_callable(on_progress, "on_progress")
    limit = _PURGE_SECONDS if timeout is None else timeout
    if not flag(stepped, "stepped"):
        if on_progress is not None:
            raise refused("INVALID_OPTIONS", "on_progress", "needs stepped=True")
        reply = await transport.write(method, request, request_id=request_id, claim=claim, timeout=limit)
        return PurgeResult(reply.deleted, [*getattr(reply, "keys", ())], dry_run)
    named = uuid.uuid4().hex if request_id is None else text(request_id, "request_id", "INVALID_REQUEST_ID")
    if not 1 <= len(named.encode()) <= 116:
        problem = "is not 1 to 116 bytes long, as a purge in steps needs"
        raise refused("INVALID_REQUEST_ID", "request_id", problem)
    request.entries_max = whole(entries_per_step, "entries_per_step", "INVALID_LIMIT")
    deleted = 0
    keys: list[str] = []
    step = 1
    while True:
        reply = await transport.write(method, request, request_id=f"{named}:{step}", claim=claim, timeout=limit)
        deleted += reply.deleted
        if len(keys) < 1000:
            keys.extend(getattr(reply, "keys", ()))
        done = not reply.HasField("continue_token")
        if on_progress is not None:
            await result_of(on_progress(PurgeProgress(deleted, done)))
        if done:
            return PurgeResult(deleted, keys[:1000], dry_run)
        request.continue_token = reply.continue_token
        step += 1

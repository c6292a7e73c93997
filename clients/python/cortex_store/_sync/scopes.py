"""Generated from _aio/scopes.py by tools/generate.py: change that file."""

from __future__ import annotations

from typing import Iterator, Optional

from .._core.errors import refused
from .._core.methods import ScopesRpc
from .._core.options import ScopeStep
from .._core.records import ScopeListResult, ScopePurgeResult
from .._core.validate import flag, header, optional_text, optional_whole, text
from .._gen.cortex.scopes.v1 import scopes_pb2
from .claims import Claims, Holder
from .events import Events
from .immutable import Immutable
from .mutable import Mutable
from .streams import Streams
from .transport import Transport
from .users import exported_lines

_AGENT_BYTES_MAX = 256


class Surface:
    """The stores and what goes with them: those of the tenant (``Cortex``), or of a scope."""

    mutable: Mutable
    """Live shared JSON under namespace + key."""
    immutable: Immutable
    """Versioned records under type + id, with their history."""
    claims: Claims
    """Names that one agent at a time holds."""
    events: Events
    """Messages to whoever listens at that moment."""
    streams: Streams
    """Logs of entries, which groups of consumers share among them."""

    def __init__(self, transport: Transport, holder: Holder) -> None:
        self._transport = transport
        self._holder = holder
        self.mutable = Mutable(transport)
        self.immutable = Immutable(transport)
        self.claims = Claims(transport, holder)
        self.events = Events(transport)
        self.streams = Streams(transport)

    @property
    def path(self) -> tuple[ScopeStep, ...]:
        """The steps of the path of a scope, the outermost first; none for a client."""
        return self._transport.path

    def scope(self, key: str, identifier: str) -> Scope:
        """A scope in this one, or in the tenant. It is only a name: nothing is sent, and nothing is created.

        :param key: what kind of scope: at least one byte of UTF-8, not blank, without control characters.
        :param identifier: which one, written likewise. The whole path has at most 512 bytes.

        Raises INVALID_SCOPE if one of them is empty or no text. Other mistakes in the names are reported by
        the first call.

        >>> workspace = cortex.scope("organization", "org_123").scope("workspace", "ws_456")
        """
        return Scope(self._transport.scoped(key, identifier), self._holder)

    def scopes(
        self,
        *,
        limit: Optional[int] = None,
        page_token: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> ScopeListResult:
        """Lists the scopes directly below this scope, or below the tenant, that hold data in themselves or in
        a scope below them. ``limit``: 1 to 1000, by default 100. Raises INVALID_LIMIT, INVALID_PAGE_TOKEN."""
        request = scopes_pb2.ListRequest(
            limit=optional_whole(limit, "limit", "INVALID_LIMIT"),
            page_token=optional_text(page_token, "page_token", "INVALID_PAGE_TOKEN"),
        )
        reply = self._transport.unary(ScopesRpc.list, request, timeout)
        steps = [ScopeStep(one.key, one.identifier) for one in reply.scopes]
        return ScopeListResult(steps, reply.next_page_token or None)


class Scope(Surface):
    """A scope: namespaces, types, claims, channels and streams within a path of the tenant. The same names in
    another scope, or in none, are others: lists, searches, watches and wildcards never cross. Users are
    those of the tenant.

    A claim of a scope guards writes in that scope. Request ids are those of the tenant: one that was used in
    another scope is refused (REQUEST_ID_REUSED).
    """

    def as_agent(self, agent_id: str) -> Scope:
        """The same scope for another agent of this process: what it writes is recorded under this id.

        :param agent_id: printable ASCII up to 256 bytes. Raises INVALID_AGENT_ID.
        """
        name = text(agent_id, "agent_id", "INVALID_AGENT_ID")
        header("agent_id", name, "INVALID_AGENT_ID")
        if not 1 <= len(name) <= _AGENT_BYTES_MAX:
            raise refused("INVALID_AGENT_ID", "agent_id", f"has not 1 to {_AGENT_BYTES_MAX} bytes")
        return Scope(self._transport.as_agent(name), self._holder.as_agent(name))

    def export(self, *, timeout: Optional[float] = None) -> Iterator[str]:
        """Gives what is stored in this scope and below it, as lines of JSON: entries, all versions of
        records, claims and entries of streams. The call needs the permission ``admin`` if the server asks
        for credentials. If the connection breaks after its first line, the export fails; begin it again."""
        return exported_lines(self._transport, ScopesRpc.export, scopes_pb2.ExportRequest(), timeout)

    def purge(
        self, *, dry_run: bool = False, request_id: Optional[str] = None, timeout: Optional[float] = None
    ) -> ScopePurgeResult:
        """Deletes what is stored in this scope and below it, all or nothing: entries, records with all their
        versions, claims, and streams with their groups. What is written meanwhile may stay. ``dry_run``
        only counts."""
        request = scopes_pb2.PurgeRequest(dry_run=flag(dry_run, "dry_run"))
        reply = self._transport.write(ScopesRpc.purge, request, request_id=request_id, timeout=timeout)
        return ScopePurgeResult(
            reply.entries, reply.records, reply.versions, reply.claims, reply.streams, reply.dry_run
        )

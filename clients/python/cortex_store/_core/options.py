"""The options of writes, the guard of a claim, and the scope of names."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Protocol, Union

from .._gen.cortex.claims.v1 import guard_pb2
from .._gen.cortex.scopes.v1 import scope_pb2
from .errors import refused
from .methods import Method
from .validate import fence, text


class ClaimGuard(Protocol):
    """The claim that guards a write: any object with ``name`` and ``fence``, such as a ``Claim`` or a
    ``ClaimRecord``."""

    @property
    def name(self) -> str: ...

    @property
    def fence(self) -> str: ...


class Guard(NamedTuple):
    """The name and the fence of a claim."""

    name: str
    fence: str


class ScopeStep(NamedTuple):
    """A step of the path of a scope, such as an organization."""

    key: str
    identifier: str


def scope_step(key: Any, identifier: Any) -> scope_pb2.ScopeStep:
    for value, field in ((key, "key"), (identifier, "identifier")):
        if text(value, field, "INVALID_SCOPE") == "":
            raise refused("INVALID_SCOPE", field, "is empty")
    return scope_pb2.ScopeStep(key=key, identifier=identifier)


def guard_message(claim: Union[ClaimGuard, Any]) -> guard_pb2.Guard:
    if not hasattr(claim, "name") or not hasattr(claim, "fence"):
        raise refused("INVALID_OPTIONS", "claim", "has no name and fence")
    return guard_pb2.Guard(
        name=text(claim.name, "claim.name", "INVALID_CLAIM"), fence=fence(claim.fence, "claim.fence")
    )


def guard_of(
    method: Method[Any, Any], own: Optional[ClaimGuard], of_all: Optional[guard_pb2.Guard]
) -> Optional[guard_pb2.Guard]:
    """The claim of this call, or else the default claim of the transport."""
    if method.has_claim:
        return guard_message(own) if own is not None else of_all
    if own is None:
        return None
    raise refused("INVALID_OPTIONS", "claim", "cannot guard this call")

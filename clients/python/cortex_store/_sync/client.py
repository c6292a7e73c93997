"""Generated from _aio/client.py by tools/generate.py: change that file."""

from __future__ import annotations

import uuid
from typing import Any, Optional, Union

from .._core.config import TlsOptions, config_of
from .claims import Holder
from .scopes import Surface
from .transport import Transport
from .users import Users


class Cortex(Surface):
    """A connection to a server. It connects with the first call. Close it, or use it as a block.

    :param address: HOST:PORT of the server, ``[IPV6]:PORT`` or ``unix:PATH``, without a scheme. Default:
        ``CORTEX_ADDRESS``, or 127.0.0.1:50051.
    :param tenant_id: the tenant of all calls: printable ASCII up to 256 bytes, no comma. Default:
        ``CORTEX_TENANT``, or the tenant "".
    :param token: the key or token of the caller, or a function that returns the current one before each call.
        Default: ``CORTEX_TOKEN``, or none.
    :param tls: True, or ``TlsOptions`` with certificates, for a connection with TLS. Default: False.
    :param agent_id: the id of this agent: entries and versions record who wrote them. Printable ASCII up to
        256 bytes.
    :param timeout: seconds until a call fails with DEADLINE_EXCEEDED, if it has no ``timeout`` of its own.

    Raises INVALID_CONFIG if an option is not valid.

    >>> with Cortex(address="127.0.0.1:50051", tenant_id="acme") as cortex:
    ...     cortex.mutable.update("inventory", "widget-qty", lambda n: n - 1)
    """

    users: Users
    """The users that data can belong to."""

    def __init__(
        self,
        *,
        address: Optional[str] = None,
        tenant_id: Optional[str] = None,
        token: Any = None,
        tls: Union[bool, TlsOptions, None] = None,
        agent_id: Optional[str] = None,
        timeout: float = 5,
    ) -> None:
        config = config_of(address, tenant_id, token, tls, agent_id, timeout)
        super().__init__(Transport(config), Holder(config.agent_id or f"client-{uuid.uuid4()}"))
        self.users = Users(self._transport)

    def close(self) -> None:
        """Closes the connection; later calls fail with CANCELLED. Watches, streams of events, subscriptions
        and ``consume`` end. What ``claims.hold`` holds is released; other claims last until their time is
        over."""
        self._holder.close()
        self._transport.close()

    def __enter__(self) -> Cortex:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

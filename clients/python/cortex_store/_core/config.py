"""The options of a client: the address, the tenant and the agent, the credentials and TLS."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Optional, Union

import grpc

from .errors import CortexError, refused
from .validate import header, timeout_of


@dataclass(frozen=True)
class TlsOptions:
    """Certificates for TLS, as PEM bytes or text (the content of a file, not its path)."""

    ca: Union[bytes, str, None] = None
    """The authorities that sign server certificates. Default: those that gRPC trusts."""
    cert: Union[bytes, str, None] = None
    """The client's own certificate chain, for a server that asks for one. Together with ``key``."""
    key: Union[bytes, str, None] = None
    server_name: Optional[str] = None
    """The name that the server's certificate must be for. Default: the host of the address."""


@dataclass(frozen=True)
class Config:
    address: str
    headers: tuple[tuple[str, str], ...]
    token: Any
    timeout: float
    credentials: Optional[grpc.ChannelCredentials]
    options: tuple[tuple[str, Any], ...]
    agent_id: Optional[str]


_address = re.compile(r"(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:\[\]/]+)):(\d{1,5})")


def _host(address: str) -> Optional[str]:
    match = _address.fullmatch(address)
    if match is None or not 1 <= int(match[3]) <= 65_535:
        return None
    return match[1] or match[2]


def _is_loopback(address: str) -> bool:
    host = _host(address) or ""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def config_of(
    address: Optional[str],
    tenant_id: Optional[str],
    token: Any,
    tls: Union[bool, TlsOptions, None],
    agent_id: Optional[str],
    timeout: float,
) -> Config:
    place = header("address", address if address is not None else os.environ.get("CORTEX_ADDRESS")) or "127.0.0.1:50051"
    if not re.match("unix:.", place) and _host(place) is None:
        raise refused("INVALID_CONFIG", "address", f"is not HOST:PORT, [IPV6]:PORT or unix:PATH: {place}")
    tenant = header("tenant_id", tenant_id if tenant_id is not None else os.environ.get("CORTEX_TENANT"))
    given = token if token is not None else os.environ.get("CORTEX_TOKEN")
    if isinstance(given, str) and re.match(r"bearer\b", given, re.IGNORECASE):
        raise refused("INVALID_CONFIG", "token", "begins with Bearer: give the key or token alone")
    if not callable(given):
        given = header("token", given) or None
    agent = header("agent_id", agent_id) or None
    headers = [("x-tenant-id", tenant), ("x-agent-id", agent)]
    return Config(
        place,
        tuple((name, value) for name, value in headers if value),
        given,
        timeout_of(timeout, 5),
        _credentials(tls),
        _channel_options(place, tls),
        agent,
    )


def _channel_options(address: str, tls: Union[bool, TlsOptions, None]) -> tuple[tuple[str, Any], ...]:
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),  # its own connection, apart from other clients
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.enable_retries", 0),  # the client repeats calls itself, and knows which ones it may
    ]
    if isinstance(tls, TlsOptions) and tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
        options.append(("grpc.default_authority", tls.server_name))
    if _is_loopback(address):
        options.append(("grpc.enable_http_proxy", 0))
    return tuple(options)


def _credentials(tls: Union[bool, TlsOptions, None]) -> Optional[grpc.ChannelCredentials]:
    if tls is None or tls is False:
        return None
    if tls is True:
        return grpc.ssl_channel_credentials()
    if not isinstance(tls, TlsOptions):
        raise refused("INVALID_CONFIG", "tls", "is neither True, False nor TlsOptions")
    header("tls.server_name", tls.server_name)
    ca, cert, key = (_pem(getattr(tls, field), f"tls.{field}") for field in ("ca", "cert", "key"))
    if (cert is None) != (key is None):
        raise refused("INVALID_CONFIG", "tls.cert", "and tls.key go together")
    return grpc.ssl_channel_credentials(ca, key, cert)


def _pem(value: Any, field: str) -> Optional[bytes]:
    if value is None:
        return None
    if not isinstance(value, (str, bytes)):
        raise refused("INVALID_CONFIG", field, "is neither PEM text nor bytes of it")
    pem = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if b"-----BEGIN" not in pem:
        raise refused("INVALID_CONFIG", field, "is not PEM: give the content of the file, not its path")
    return pem


def token_text(token: Any) -> str:
    """Checks what a token function returned."""
    if token is None or token == "":
        raise CortexError("UNAUTHENTICATED", "the token is empty", {"problem": "no token"})
    return header("token", token) or ""


def in_one_line(details: str) -> str:
    """Shortens the error text of gRPC to its last error, in one line."""
    found = re.search(r"last error: (?:UNKNOWN: |UNAVAILABLE: )?(.*)", details)
    return (found[1] if found else details).split("\n")[0].strip()

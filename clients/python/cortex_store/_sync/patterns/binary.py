"""Generated from _aio/patterns/binary.py by tools/generate.py: change that file."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any, Optional, Union

from ..._core.errors import CortexError, refused, shown
from ..._core.options import ClaimGuard
from ..._core.patterns.results import Binary, BinaryReference
from ..._core.validate import UNSET, Unset, text
from ..scopes import Surface
from .takes_client import takes_client

_BYTES_MAX = 512 * 1024  # base64 makes them a third longer, and an entry has 1 MiB


@takes_client
def put_binary(
    cortex: Surface,
    namespace: str,
    key: str,
    data: Union[bytes, bytearray, memoryview],
    mime_type: str,
    *,
    max_bytes: int = _BYTES_MAX,
    user_id: Optional[str] | Unset = UNSET,
    metadata: Optional[dict[str, Any]] | Unset = UNSET,
    ttl_seconds: Optional[float] = None,
    claim: Optional[ClaimGuard] = None,
    request_id: Optional[str] = None,
) -> None:
    """Stores binary data as ``{data, mime_type, size, sha256}``, in base64.

    Raises VALUE_TOO_LARGE above ``max_bytes`` (512 KiB): store the data elsewhere, and its place with
    ``put_reference``.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise refused("INVALID_VALUE", "data", "is not bytes")
    content = bytes(data)
    if len(content) > max_bytes:
        advice = "store the data elsewhere, and its place with put_reference"
        message = f"data has {len(content)} bytes, and the limit is {max_bytes}: {advice}"
        raise CortexError(
            "VALUE_TOO_LARGE", message, {"field": "data", "limit": str(max_bytes), "got": str(len(content))}
        )
    value = {
        "data": base64.b64encode(content).decode(),
        "mime_type": text(mime_type, "mime_type", "INVALID_VALUE"),
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    fields: dict[str, Any] = {"user_id": user_id, "metadata": metadata, "ttl_seconds": ttl_seconds}
    cortex.mutable.set(namespace, key, value, **fields, claim=claim, request_id=request_id)


@takes_client
def get_binary(cortex: Surface, namespace: str, key: str) -> Optional[Binary]:
    """Reads binary data; None if the key does not exist.

    Raises INVALID_VALUE if the key holds something else, such as a reference, or if the data is damaged.
    """
    value = cortex.mutable.get(namespace, key)
    if value is None:
        return None
    encoded = _member(value, "data")
    if not isinstance(encoded, str):
        raise refused("INVALID_VALUE", key, "holds no binary data")
    try:
        content = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise refused("INVALID_VALUE", key, "holds binary data that is damaged") from None
    if "sha256" in value and value["sha256"] != hashlib.sha256(content).hexdigest():
        raise refused("INVALID_VALUE", key, "holds binary data that is damaged")
    return Binary(content, value.get("mime_type", ""))


@takes_client
def put_reference(
    cortex: Surface,
    namespace: str,
    key: str,
    reference: BinaryReference,
    *,
    user_id: Optional[str] | Unset = UNSET,
    metadata: Optional[dict[str, Any]] | Unset = UNSET,
    ttl_seconds: Optional[float] = None,
) -> None:
    """Stores where binary data is, as ``{url, mime_type, size, sha256}``."""
    if not isinstance(reference, BinaryReference):
        raise refused("INVALID_VALUE", "reference", f"is no BinaryReference: {shown(reference)}")
    size = reference.size
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise refused("INVALID_VALUE", "size", f"is not a number of bytes: {size!r}")
    if not re.fullmatch("[0-9a-f]{64}", text(reference.sha256, "sha256", "INVALID_VALUE")):
        raise refused("INVALID_VALUE", "sha256", "is not a SHA-256 in hexadecimal")
    value = {
        "url": text(reference.url, "url", "INVALID_VALUE"),
        "mime_type": text(reference.mime_type, "mime_type", "INVALID_VALUE"),
        "size": size,
        "sha256": reference.sha256,
    }
    fields: dict[str, Any] = {"user_id": user_id, "metadata": metadata, "ttl_seconds": ttl_seconds}
    cortex.mutable.set(namespace, key, value, **fields)


@takes_client
def get_reference(cortex: Surface, namespace: str, key: str) -> Optional[BinaryReference]:
    """Reads where binary data is; None if the key does not exist. Raises INVALID_VALUE if it holds something
    else."""
    value = cortex.mutable.get(namespace, key)
    if value is None:
        return None
    if not isinstance(_member(value, "url"), str):
        raise refused("INVALID_VALUE", key, "holds no reference")
    return BinaryReference(value["url"], value.get("mime_type", ""), value.get("size", 0), value.get("sha256", ""))


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None

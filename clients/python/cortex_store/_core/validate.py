"""Checks arguments beyond what types can check: text that protobuf cannot carry, and numbers out of range."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Mapping, Optional, Sequence, TypeVar, Union

from google.protobuf.timestamp_pb2 import Timestamp

from .errors import refused, shown

T = TypeVar("T")


class Unset:
    """The default of options for which None has a meaning of its own."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()


def text(value: Any, field: str, code: str) -> str:
    """Checks that a value is a str that protobuf can carry: it must not hold half of a surrogate pair."""
    if not isinstance(value, str):
        raise refused(code, field, f"is not a str but {type(value).__name__}")
    if not value.isascii() and re.search("[\ud800-\udfff]", value):
        raise refused(code, field, "holds half of a surrogate pair")
    return value


def optional_text(value: Any, field: str, code: str) -> Optional[str]:
    return None if value is None else text(value, field, code)


def namespace_text(value: Any) -> str:
    return text(value, "namespace", "INVALID_NAMESPACE")


def key_text(value: Any, field: str = "key") -> str:
    return text(value, field, "INVALID_KEY")


def user_id_text(value: Any, field: str = "user_id") -> str:
    return text(value, field, "INVALID_USER_ID")


def whole(value: Any, field: str, code: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31:
        return value
    raise refused(code, field, f"is not a whole number: {shown(value)}")


def optional_whole(value: Any, field: str, code: str) -> Optional[int]:
    return None if value is None else whole(value, field, code)


def flag(value: Any, field: str) -> bool:
    if isinstance(value, bool):
        return value
    raise refused("INVALID_OPTIONS", field, f"is not True or False: {shown(value)}")


def seconds(value: Any, field: str = "ttl_seconds", code: str = "INVALID_TTL") -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:  # NaN is not
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise refused(code, field, f"is not a number of seconds: {shown(value)}")


def optional_seconds(value: Any, field: str = "ttl_seconds", code: str = "INVALID_TTL") -> Optional[float]:
    return None if value is None else seconds(value, field, code)


def time(value: Any, field: str, code: str = "INVALID_FILTER") -> Timestamp:
    if not isinstance(value, datetime):
        raise refused(code, field, f"is not a datetime but {type(value).__name__}")
    if value.utcoffset() is None:
        raise refused(code, field, "is a naive datetime: give it a time zone, such as datetime.now(timezone.utc)")
    stamp = Timestamp()
    try:
        stamp.FromDatetime(value.astimezone(timezone.utc))
    except (OverflowError, ValueError):
        raise refused(code, field, "is not in the years 1 to 9999 in UTC") from None
    return stamp


def optional_time(value: Any, field: str, code: str = "INVALID_FILTER") -> Optional[Timestamp]:
    return None if value is None else time(value, field, code)


def to_datetime(stamp: Timestamp) -> datetime:
    found: datetime = stamp.ToDatetime(tzinfo=timezone.utc)
    return found


def amount_text(value: Any) -> str:
    """An amount for increment and decrement: an int, a float, a Decimal, or decimal text."""
    if isinstance(value, str):
        return text(value, "amount", "INVALID_AMOUNT")
    if isinstance(value, float) and math.isfinite(value):
        return repr(float(value))
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        number = Decimal(value)
        if number.is_finite():
            return str(number)
    raise refused("INVALID_AMOUNT", "amount", f"is not a number: {shown(value)}")


def _is_int64(value: Any) -> bool:
    return (
        isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value) is not None and -(2**63) <= int(value) < 2**63
    )


def revision(value: Any) -> Optional[int]:
    if value is None:
        return None
    if _is_int64(value):
        return int(value)
    raise refused("INVALID_REVISION", "if_revision", "is not the revision of a record")


def fence(value: Any, field: str = "fence") -> int:
    if _is_int64(value) and not value.startswith("-"):
        return int(value)
    raise refused("INVALID_CLAIM", field, "is not the fence of a claim")


def delivery(value: Any, field: str) -> Optional[int]:
    if value is None:
        return None
    if _is_int64(value) and not value.startswith("-"):
        return int(value)
    raise refused("INVALID_ENTRY_ID", field, "is neither a delivered entry nor the id of one")


def listed(value: Any, field: str, code: str = "INVALID_BATCH") -> Sequence[Any]:
    if isinstance(value, (list, tuple)):
        return value
    raise refused(code, field, f"is not a list but {type(value).__name__}")


def texts(value: Any, field: str) -> Optional[list[str]]:
    """A filter that is a list of texts."""
    if value is None:
        return None
    given = listed(value, field, "INVALID_FILTER")
    if not given:
        raise refused("INVALID_FILTER", field, "is empty: leave it out if you do not want this filter")
    return [text(one, f"{field}[{i}]", "INVALID_FILTER") for i, one in enumerate(given)]


def picked(choices: Mapping[str, T], choice: Any, field: str, code: str = "INVALID_SORT") -> T:
    """The member of ``choices`` that the caller names."""
    if isinstance(choice, str) and choice in choices:
        return choices[choice]
    raise refused(code, field, f"is not one of {', '.join(choices)}: {shown(choice)}")


def header(field: str, value: Any, code: str = "INVALID_CONFIG") -> Optional[str]:
    """Checks that a value, unless it is None, is text that an HTTP header can carry."""
    # HTTP drops spaces at the ends, so a tenant id with such spaces would become another id.
    if value is None or (isinstance(value, str) and re.fullmatch(r"([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?", value)):
        return value
    raise refused(code, field, "is not printable ASCII text without spaces at its ends")


TIMEOUT_MAX = 2_147_483.0  # 24.8 days


def timeout_of(value: Union[int, float, None], default: float) -> float:
    """The seconds of ``timeout``. Raises INVALID_CONFIG if it is not a number above 0."""
    if value is None:
        return default
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return float(min(value, TIMEOUT_MAX))
    raise refused("INVALID_CONFIG", "timeout", f"is not a number of seconds above 0: {shown(value)}")

"""Converts values to JSON text and back, without losing or changing a part of the value."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Callable, Iterator, Optional

from .errors import CortexError, refused, shown

DEPTH_MAX = 1000  # the server's limit
_INT_DIGITS_MAX = 20_000  # the time to convert digits grows with their square: 20 ms for so many
_QUICK_DIGITS_MAX = 4_000  # int() refuses more than 4300


class _Float(float):
    """A float that was read from JSON text which Python would write otherwise, such as 19.90. It is written
    back with that text."""

    __slots__ = ("json_text",)
    json_text: str

    def __reduce__(self) -> Any:
        return (_with_text, (_Float, self.json_text))


class _Int(int):
    """An integer that was read from text that Python would write otherwise, such as -0 or 1e400."""

    json_text: str

    def __reduce__(self) -> Any:
        return (_with_text, (_Int, self.json_text))


class _Decimal(Decimal):
    """A number that no float holds. It is written back with the text that it had."""

    __slots__ = ("json_text",)
    json_text: str

    def __reduce__(self) -> Any:
        return (_with_text, (_Decimal, self.json_text))


def _with_text(kind: Any, text: str) -> Any:
    try:
        number = _Int(int(Decimal(text))) if kind is _Int else kind(text)
    except InvalidOperation:  # its exponent has more digits than a Decimal can have: it is infinity or 0
        is_zero = "e-" in text.lower() or not re.search("[1-9]", re.split("[eE]", text)[0])
        number = _Decimal(f"{'-' if text[0] == '-' else ''}{'0' if is_zero else 'Infinity'}")
    number.json_text = text
    return number


def _real(text: str) -> Any:
    """The number of a text with a point or an exponent."""
    value = float(text)
    if repr(value) == text:
        return value
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return _with_text(_Decimal, text)
    # The shortest text of a float names it: the float holds the number if both texts are the same number.
    if value - value == 0 and Decimal(repr(value)) == exact:
        return _with_text(_Float, text)
    if exact.adjusted() < _INT_DIGITS_MAX and exact == exact.to_integral_value():
        return _with_text(_Int, text)
    return _with_text(_Decimal, text)


def _integer(text: str) -> Any:
    if text == "-0":
        return _with_text(_Int, text)
    if len(text) <= _QUICK_DIGITS_MAX:
        return int(text)
    return int(Decimal(text)) if len(text) <= _INT_DIGITS_MAX else _with_text(_Decimal, text)


# The default integers of the json module are faster. They lose the sign of -0, and refuse many digits.
_needs_integer = re.compile(rf"-0(?![\d.eE])|\d{{{_QUICK_DIGITS_MAX}}}")
_plain = json.JSONDecoder(parse_float=_real, strict=False)
_exact = json.JSONDecoder(parse_float=_real, parse_int=_integer, strict=False)


def returned(after: Any, argument: Any, original: Callable[[], Any]) -> Any:
    """What an updater returned. Refuses None if the updater changed its argument in place."""
    if after is None and isinstance(argument, (dict, list)) and argument != original():
        problem = "returned None but changed its argument: an updater has to return the new value"
        raise refused("INVALID_UPDATER", "updater", problem)
    return after


def parse(text: str) -> Any:
    """Parses JSON text that the server sent."""
    decoder = _exact if _needs_integer.search(text) else _plain
    try:
        return decoder.decode(text)
    except RecursionError:
        return _parse_deep(text)


_token = re.compile(r'[\[\]{},:]|"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null')


def _parse_deep(text: str) -> Any:
    """Parses text that nests deeper than the stack of Python allows."""
    root: list[Any] = []
    stack: list[Any] = [root]
    names: list[Optional[str]] = [None]
    for token in _token.findall(text):
        if token in "]}":
            stack.pop()
            names.pop()
            continue
        if token in ",:":
            continue
        if token in "[{":
            value: Any = [] if token == "[" else {}
        elif token[0] == '"' or token[0] in "tfn":
            value = json.loads(token, strict=False)
            if isinstance(stack[-1], dict) and names[-1] is None:
                names[-1] = value
                continue
        else:
            value = _real(token) if re.search(r"[.eE]", token) else _integer(token)
        above = stack[-1]
        if isinstance(above, dict):
            above[names[-1]] = value
            names[-1] = None
        else:
            above.append(value)
        if token in "[{":
            stack.append(value)
            names.append(None)
    return root[0]


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
_string = json.JSONEncoder(ensure_ascii=False).encode
_half_pair = re.compile("[\ud800-\udfff]")


def to_json(value: Any, field: str = "value") -> str:
    """The value as JSON text.

    Raises INVALID_VALUE with the path of the part that JSON cannot hold.
    """
    plain = _check(value, field)
    try:
        text = _encoder.encode(value) if plain else "".join(_write(value))
    except RecursionError:
        text = "".join(_write(value))
    # UTF-8 cannot hold half of a surrogate pair: it travels as its escape.
    return _half_pair.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def object_to_json(value: Any, field: str, code: str = "INVALID_METADATA") -> str:
    """An object as JSON text: metadata, data of a record, a profile."""
    if not isinstance(value, dict):
        problem = f"is not a dict but {_kind(value)}"
        raise CortexError(code, f"{field} {problem}", {"field": field, "problem": problem})
    try:
        return to_json(value, field)
    except CortexError as error:
        if error.code != "INVALID_VALUE":
            raise
        raise CortexError(code, error.message, {**error.details, "field": field}) from None


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _members(value: Any) -> Iterator[tuple[Any, Any]]:
    return iter(value.items()) if isinstance(value, dict) else iter(enumerate(value))


def _check(root: Any, field: str) -> bool:
    """Raises if JSON cannot hold the value. Gives False if the json module would not write it as ``_write``
    does."""
    kind = type(root)
    if kind is str or kind is bool or root is None or (kind is int and abs(root) < 10**15):
        return True
    plain = True
    path: list[Any] = []
    open_ids: set[int] = set()
    stack: list[tuple[Any, Iterator[tuple[Any, Any]]]] = []
    value = root
    while True:
        if isinstance(value, (dict, list, tuple)):
            if id(value) in open_ids:
                raise _refuse(field, path, "is a cycle: it holds itself")
            if len(stack) == DEPTH_MAX:
                details = {"field": field, "limit": str(DEPTH_MAX), "got": str(DEPTH_MAX + 1)}
                raise CortexError("VALUE_TOO_DEEP", f"{field} nests deeper than {DEPTH_MAX}", details)
            open_ids.add(id(value))
            stack.append((value, _members(value)))
            path.append(None)
        elif isinstance(value, float):
            if value != value or value in (float("inf"), float("-inf")):
                raise _refuse(field, path, f"is {value}")
            plain = plain and not isinstance(value, _Float)
        elif isinstance(value, Decimal):
            if not value.is_finite() and not isinstance(value, _Decimal):
                raise _refuse(field, path, f"is {value}")
            plain = False
        elif isinstance(value, int):  # a bool too
            plain = plain and not isinstance(value, _Int) and value.bit_length() < 10_000
        elif not (isinstance(value, str) or value is None):
            raise _refuse(field, path, f"is a {_kind(value)}, which JSON cannot hold")
        while stack:
            container, members = stack[-1]
            member = next(members, None)
            if member is not None:
                break
            open_ids.discard(id(container))
            stack.pop()
            path.pop()
        else:
            return plain
        name, value = member
        path[-1] = name
        if not isinstance(name, str) and isinstance(container, dict):
            path.pop()
            raise _refuse(field, path, f"has a key that is not a str but {_kind(name)}: {shown(name)}")


def _refuse(field: str, path: list[Any], problem: str) -> CortexError:
    where = field
    for part in path:
        if isinstance(part, int):
            where += f"[{part}]"
        else:
            where += f".{part}" if re.fullmatch(r"[\w$]+", part) else f"[{_string(part)}]"
        if len(where) > 200:
            where = f"{where[:200]}…"
            break
    return CortexError("INVALID_VALUE", f"{where} {problem}", {"path": where, "problem": problem})


def _write(root: Any) -> Iterator[str]:
    """Writes a value that was checked, without a stack of calls."""
    stack: list[tuple[Iterator[tuple[Any, Any]], bool]] = []
    value = root
    begins = True
    while True:
        if isinstance(value, (dict, list, tuple)):
            is_object = isinstance(value, dict)
            yield "{" if is_object else "["
            stack.append((_members(value), is_object))
            begins = True
        else:
            yield _scalar(value)
        while stack:
            members, is_object = stack[-1]
            member = next(members, None)
            if member is not None:
                break
            yield "}" if is_object else "]"
            stack.pop()
            begins = False
        else:
            return
        name, value = member
        if not begins:
            yield ","
        begins = False
        if is_object:
            yield f"{_string(name)}:"


def _scalar(value: Any) -> str:
    if isinstance(value, (_Float, _Int, _Decimal)):
        return value.json_text
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bool) or value is None or isinstance(value, (str, float)):
        return _encoder.encode(value)
    return str(Decimal(int(value)))  # str(int) refuses more than 4300 digits

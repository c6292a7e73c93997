"""Running statistics, in exact numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Mapping, Optional, Union

from ..errors import refused, shown


@dataclass(frozen=True)
class Statistics:
    """Running statistics."""

    count: int
    sum: Union[int, float, Decimal]
    min: Union[int, float, Decimal]
    max: Union[int, float, Decimal]
    mean: float
    variance: float
    """The mean of the squared distances to the mean (of the population): 0 for one value."""


_EXPONENT_MAX = 1000  # a larger exponent would need too much memory


_POWER = 10**150


def added_number(value: Any) -> Fraction:
    """A value to be added to statistics: at most 100 digits, and between 10^-150 and 10^150, so that its
    square is a number that the store holds."""
    fraction = exact(value)
    if fraction is not None and abs(fraction) < _POWER:
        digits = str(fraction.numerator * _POWER // fraction.denominator).strip("-0")
        is_whole = fraction.numerator * _POWER % fraction.denominator == 0
        if len(digits) <= 100 and is_whole:
            return fraction
    raise refused(
        "INVALID_AMOUNT", "value", f"is not a decimal number of at most 100 digits, below 1e150: {shown(value)}"
    )


def exact(value: Any) -> Optional[Fraction]:
    """The number that the decimal text of a value names; None if it is no such number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Fraction(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = getattr(value, "json_text", None) or repr(value)  # the text that it was read from
    if isinstance(value, (str, Decimal)):
        if isinstance(value, str) and not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,5})?", value):
            return None
        try:
            decimal = Decimal(value)
        except InvalidOperation:
            return None
        if decimal.is_finite() and abs(decimal.adjusted()) <= _EXPONENT_MAX:
            return Fraction(decimal)
    return None


def number_of(fraction: Fraction) -> Union[int, float, Decimal]:
    """An int or a float if one holds the decimal number, else a Decimal."""
    if fraction.denominator == 1:
        return fraction.numerator
    try:
        near = float(fraction)
        if Fraction(Decimal(repr(near))) == fraction:
            return near
    except OverflowError:
        pass  # no float holds it
    scale = 0
    while 10**scale % fraction.denominator != 0:
        scale += 1
    return Decimal(f"{fraction.numerator * 10**scale // fraction.denominator}e-{scale}")


def statistics_with(before: Any, added: Fraction) -> dict[str, Any]:
    """The stored statistics with one value more. ``squares`` is the exact sum of the squares."""
    if before is None:
        before = {"count": 0, "sum": 0, "squares": 0, "min": number_of(added), "max": number_of(added)}
    known = {name: exact(_member(before, name)) for name in ("count", "sum", "squares", "min", "max")}
    for name, value in known.items():
        if value is None:
            raise refused("INVALID_DATA", name, "is not a number: the key does not hold statistics")
    numbers = {name: value for name, value in known.items() if value is not None}
    count = numbers["count"] + 1
    total = numbers["sum"] + added
    squares = numbers["squares"] + added * added
    return {
        "count": number_of(count),
        "sum": number_of(total),
        "min": number_of(min(numbers["min"], added)),
        "max": number_of(max(numbers["max"], added)),
        "mean": float(total / count),
        "variance": float((count * squares - total * total) / (count * count)),
        "squares": number_of(squares),
    }


def _member(stored: Any, name: str) -> Any:
    return stored.get(name) if isinstance(stored, dict) else None


def statistics_of(stored: Mapping[str, Any]) -> Statistics:
    return Statistics(**{name: value for name, value in stored.items() if name != "squares"})

"""What the patterns of both clients share: their results, names, exact numbers, keywords, credentials."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Mapping, Optional, Sequence, Union

from .errors import CortexError, refused, shown
from .jsontext import _Float
from .validate import text

CLAIM_BYTES_MAX = 512  # the server's limit
WORD_MAX = 100  # characters, so that a key holds it
KEYWORDS_MAX = 200  # at most 2 operations each, of the 500 of a transaction
BINARY_BYTES_MAX = 512 * 1024  # base64 makes them a third longer, and an entry has 1 MiB
DAY_SECONDS = 86_400.0
MISSING = object()


def own_error(error: CortexError, *codes: str) -> CortexError:
    """An update or a transaction wraps an error that its function raised. Gives the wrapped error if it has
    one of these codes, else the error itself."""
    cause = error.cause
    return cause if isinstance(cause, CortexError) and cause.code in codes else error


def claim_name(pattern: str, namespace: str, key: str) -> str:
    """The claim of a pattern for a key. A name that would be too long ends in a digest of it."""
    name = f"{pattern}:{namespace}:{key}"
    if len(name.encode("utf-8", "replace")) <= CLAIM_BYTES_MAX:
        return name
    return f"{pattern}:{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()}"


def count_id(namespace: str, key: str, id: str) -> str:
    """The request id of an addition to a counter. Each counter has ids of its own."""
    return hashlib.sha256(join_name(namespace, key, id).encode("utf-8", "replace")).hexdigest()


def done_key(key: str, id: str) -> str:
    """The key that notes what was done to a key under an id. One that would be too long is a digest."""
    name = join_name(key, id)
    return name if len(name.encode("utf-8", "replace")) <= 1024 else hashlib.sha256(name.encode()).hexdigest()


def join_name(*parts: str) -> str:
    """Joins parts to a name: ``join_name("project", id, "files", "main.py")`` is
    ``project:<id>:files:main.py``. A ``:`` within a part is written as ``%3A``, and ``%`` as ``%25``, so
    that different parts never make the same name.

    Raises INVALID_KEY if a part is empty or no text.
    """
    if not parts:
        raise refused("INVALID_KEY", "parts", "is empty: give at least one part")
    return ":".join(_encoded(part, i) for i, part in enumerate(parts))


def prefix_name(*parts: str) -> str:
    """The prefix of every name below these parts: the parts, joined, and a ``:``."""
    return f"{join_name(*parts)}:"


def split_name(name: str) -> list[str]:
    """The parts of a name that ``join_name`` made."""
    parts = text(name, "name", "INVALID_KEY").split(":")
    return [part.replace("%3A", ":").replace("%25", "%") for part in parts]


def _encoded(part: Any, index: int) -> str:
    if text(part, f"parts[{index}]", "INVALID_KEY") == "":
        raise refused("INVALID_KEY", f"parts[{index}]", "is empty")
    encoded: str = part.replace("%", "%25").replace(":", "%3A")
    return encoded


@dataclass(frozen=True)
class NamespaceOverview:
    namespace: str
    key_count: int
    """How many keys it has."""
    keys: list[str]
    """The first of them, in bytewise order."""


@dataclass(frozen=True)
class Cached:
    value: Any
    source: str
    """``cache``: it was fresh. ``stale``: it is an old one, and somebody computes the next. ``computed``:
    this call did."""


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


def exact(value: Any) -> Optional[Fraction]:
    """The number that the decimal text of a value names; None if it is no such number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Fraction(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = value.json_text if isinstance(value, _Float) else repr(value)
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


_POWER = 10**150


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


@dataclass(frozen=True)
class StateMachine:
    """A kind of state machine."""

    name: str
    """The namespace in MutableStore of the current states; also the type in ImmutableStore of the
    transitions."""
    initial: str
    """The state before the first transition."""
    transitions: Mapping[str, Sequence[str]]
    """The allowed next states of each state. A state that is missing here, or has an empty list, is final."""

    def __post_init__(self) -> None:
        text(self.name, "name", "INVALID_OPTIONS")
        text(self.initial, "initial", "INVALID_OPTIONS")
        if not isinstance(self.transitions, Mapping):
            raise refused("INVALID_OPTIONS", "transitions", f"is not a dict of lists: {shown(self.transitions)}")
        for state, following in self.transitions.items():
            if isinstance(following, str) or not isinstance(following, (list, tuple, set, frozenset)):
                raise refused("INVALID_OPTIONS", f"transitions[{state!r}]", f"is not a list: {shown(following)}")

    def current(self, stored: Any) -> dict[str, Any]:
        """The stored state; the beginning if there is none."""
        if stored is None:
            return {"state": self.initial, "data": None, "step": 0}
        is_state = isinstance(stored, dict) and stored.keys() == {"state", "data", "step"}
        if not is_state or not isinstance(stored["state"], str) or not isinstance(stored["step"], int):
            raise refused("INVALID_DATA", "id", f"holds no state of the machine {self.name}: {shown(stored)}")
        return dict(stored)


@dataclass(frozen=True)
class MachineState:
    """Where a machine is."""

    state: str
    data: Any
    """The data of the last transition that gave data; None if none did."""
    step: int
    """How many transitions there were."""


def not_allowed(
    id: str, current: str, to: str, allowed: Sequence[str], wanted: Optional[Sequence[str]] = None
) -> CortexError:
    there = f"only to {', '.join(allowed)}" if allowed else "it is final"
    if to in allowed and wanted is not None:
        there = f"the caller wants it from {' or '.join(wanted)}"
    return CortexError(
        "TRANSITION_NOT_ALLOWED",
        f"{id} cannot go from {current} to {to}: {there}",
        {"id": id, "from": current, "to": to, "allowed": ", ".join(allowed)},
    )


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is."""

    processed: int
    total: int
    complete: bool
    results: list[Any] = field(default_factory=list)
    """The results that this call has recorded, in the order of the items."""


@dataclass(frozen=True)
class KeywordIndex:
    """The namespaces of an index."""

    documents: str
    """Where the documents are, under their ids."""
    index: str
    """Where the keywords are."""


@dataclass(frozen=True)
class FoundDocument:
    id: str
    document: Any
    score: float
    """The sum of the weights of the words that it has."""
    matched: int
    """How many words of the query it has."""


def keyword_index(index: Any) -> KeywordIndex:
    if not isinstance(index, KeywordIndex):
        raise refused("INVALID_OPTIONS", "index", f"is no KeywordIndex: {shown(index)}")
    return index


def state_machine(machine: Any) -> StateMachine:
    if not isinstance(machine, StateMachine):
        raise refused("INVALID_OPTIONS", "machine", f"is no StateMachine: {shown(machine)}")
    return machine


def keywords_of(content: str) -> dict[str, int]:
    """The words of a text with how often each occurs: letters and digits, in lower case, of two characters or
    more (and at most 100). Those that occur most often come first, at most 200."""
    counts: dict[str, int] = {}
    for word in _words(unicodedata.normalize("NFC", text(content, "content", "INVALID_VALUE")).lower()):
        counts[word] = counts.get(word, 0) + 1
    by_count = sorted(counts.items(), key=lambda one: -one[1])
    return dict(by_count[:KEYWORDS_MAX])


def _words(content: str) -> list[str]:
    """Runs of letters, digits and marks, that begin with a letter or digit."""
    words: list[str] = []
    current = ""
    for char in f"{content} ":
        kind = unicodedata.category(char)[0]
        if kind in "LN" or (kind == "M" and current):
            current += char
            continue
        if 1 < len(current) <= WORD_MAX:
            words.append(current)
        current = ""
    return words


def checked_keywords(keywords: Any) -> dict[str, Any]:
    if not isinstance(keywords, Mapping):
        raise refused("INVALID_BATCH", "keywords", "is not a dict of weights")
    if len(keywords) > KEYWORDS_MAX:
        raise refused("INVALID_BATCH", "keywords", f"has {len(keywords)} keywords, and the limit is {KEYWORDS_MAX}")
    words: dict[str, Any] = {}
    for word, weight in keywords.items():
        if text(word, "keywords", "INVALID_BATCH") == "":
            raise refused("INVALID_BATCH", "keywords", "has an empty keyword")
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not is_number or not math.isfinite(weight) or weight <= 0:
            raise refused(
                "INVALID_BATCH", "keywords", f"has a weight that is not a number above 0, for the keyword {word}"
            )
        found_as = unicodedata.normalize("NFC", word).lower()
        words[found_as] = words.get(found_as, 0) + weight
    return words


@dataclass(frozen=True)
class Binary:
    bytes: bytes
    mime_type: str


@dataclass(frozen=True)
class BinaryReference:
    """Where binary data is that the store does not hold."""

    url: str
    """Where it is, such as ``s3://bucket/key``."""
    mime_type: str
    size: int
    """Its size in bytes."""
    sha256: str
    """SHA-256 of the data, in hexadecimal, so that a reader can check it."""


# Texts that are credentials, by the form that their issuers give them.
_FORMS = [
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    ("an API key", re.compile(r"(^|[^A-Za-z0-9])(sk|rk|pk)[-_][A-Za-z0-9_-]{8,}")),
    (
        "a token of GitHub",
        re.compile(r"(^|[^A-Za-z0-9])(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
    ),
    ("a key of AWS", re.compile(r"(^|[^A-Za-z0-9])(AKIA|ASIA)[A-Z0-9]{16}([^A-Za-z0-9]|$)")),
    ("a token of Slack", re.compile(r"(^|[^A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}")),
    ("a key of Google", re.compile(r"(^|[^A-Za-z0-9])AIza[A-Za-z0-9_-]{30,}")),
    ("a signed token", re.compile(r"(^|[^A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.")),
    ("a password in a URL", re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@", re.IGNORECASE)),
]

# Names of what is secret: api_key, clientSecret, db-password.
_SECRET_NAME = re.compile(
    r"(^|[^a-z])(api[^a-z]?key|access[^a-z]?key|private[^a-z]?key|password|passwd|passphrase|secret|credentials?|bearer"
    r"|auth[^a-z]?token|access[^a-z]?token|refresh[^a-z]?token)$"
)


def refuse_credentials(value: Any, name: str = "") -> None:
    """Raises CREDENTIAL_REFUSED, with the path, if a part of the value looks like a credential: by its form,
    such as ``sk-…``, or a text that is not empty under a name such as ``password``. It finds mistakes; it
    does not find everything.

    :param name: the name that the value is stored under.
    """
    todo = [(value, name, "value")]
    seen: set[int] = set()
    while todo:
        part, named, path = todo.pop()
        if isinstance(part, str):
            what = _secret(part, named)
            if what is not None:
                problem = f"looks like a credential ({what}): keep it in the environment or in a secret manager"
                raise CortexError("CREDENTIAL_REFUSED", f"{path} {problem}", {"path": path, "problem": problem})
        elif isinstance(part, (dict, list, tuple)):
            if id(part) in seen:
                continue
            seen.add(id(part))
            if isinstance(part, dict):
                todo.extend((one, str(member), f"{path}.{member}") for member, one in part.items())
            else:
                todo.extend((one, "", f"{path}[{i}]") for i, one in enumerate(part))


def _secret(value: str, name: str) -> Optional[str]:
    for what, form in _FORMS:
        if form.search(value):
            return what
    named = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower() if isinstance(name, str) else ""
    return "a secret by its name" if value and _SECRET_NAME.search(named) else None

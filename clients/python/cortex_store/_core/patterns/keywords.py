"""Keywords of texts, and what a search finds by them."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import Any, Mapping

from ..errors import refused, shown
from ..validate import text

_KEYWORDS_MAX = 200  # at most 2 operations each, of the 500 of a transaction


_WORD_MAX = 100  # characters, so that a key holds it


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


def keywords_of(content: str) -> dict[str, int]:
    """The words of a text with how often each occurs: letters and digits, in lower case, of two characters or
    more (and at most 100). Those that occur most often come first, at most 200."""
    counts: dict[str, int] = {}
    for word in _words(unicodedata.normalize("NFC", text(content, "content", "INVALID_VALUE")).lower()):
        counts[word] = counts.get(word, 0) + 1
    by_count = sorted(counts.items(), key=lambda one: -one[1])
    return dict(by_count[:_KEYWORDS_MAX])


def _words(content: str) -> list[str]:
    """Runs of letters, digits and marks, that begin with a letter or digit."""
    words: list[str] = []
    current = ""
    for char in f"{content} ":
        kind = unicodedata.category(char)[0]
        if kind in "LN" or (kind == "M" and current):
            current += char
            continue
        if 1 < len(current) <= _WORD_MAX:
            words.append(current)
        current = ""
    return words


def checked_keywords(keywords: Any) -> dict[str, Any]:
    if not isinstance(keywords, Mapping):
        raise refused("INVALID_BATCH", "keywords", "is not a dict of weights")
    if len(keywords) > _KEYWORDS_MAX:
        raise refused("INVALID_BATCH", "keywords", f"has {len(keywords)} keywords, and the limit is {_KEYWORDS_MAX}")
    words: dict[str, Any] = {}
    for word, weight in keywords.items():
        if text(word, "keywords", "INVALID_BATCH") == "":
            raise refused("INVALID_BATCH", "keywords", "has an empty keyword")
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < math.inf:
            raise refused(
                "INVALID_BATCH", "keywords", f"has a weight that is not a number above 0, for the keyword {word}"
            )
        found_as = unicodedata.normalize("NFC", word).lower()
        words[found_as] = words.get(found_as, 0) + weight
    return words

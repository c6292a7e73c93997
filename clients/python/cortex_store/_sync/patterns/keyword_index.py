"""Generated from _aio/patterns/keyword_index.py by tools/generate.py: change that file."""

from __future__ import annotations

from typing import Any, Mapping

from ..._core.errors import refused
from ..._core.patterns.keywords import FoundDocument, KeywordIndex, checked_keywords, keyword_index, keywords_of
from ..._core.patterns.names import join_name, prefix_name, split_name
from ..._core.patterns.unwrap_errors import unwrapped_errors
from ..._core.validate import text
from ..scopes import Surface
from ..transactions import Transaction
from .read_many import read_many
from .takes_client import takes_client


def _list_key(id: str) -> str:
    """The key of the list of keywords of a document. No keyword is empty, so none has such a key."""
    return f":{join_name(id)}"


@takes_client
def index_document(cortex: Surface, index: KeywordIndex, id: str, document: Any, keywords: Mapping[str, float]) -> None:
    """Stores a document with its keywords, in one transaction: a search never finds one without the other.
    Keywords that the document had before and has no more are removed.

    :param keywords: at most 200, in lower or upper case, with weights above 0: ``keywords_of(document["content"])``.

    Raises INVALID_BATCH (too many keywords, one that is empty, a weight that is no number above 0), and what
    ``mutable.set`` raises.
    """
    keyword_index(index)
    words = checked_keywords(keywords)

    def work(tx: Transaction) -> None:
        known = tx.get(index.index, _list_key(id))
        before = known or {}
        for word in before:
            if word not in words:
                tx.delete(index.index, join_name(word, id))
        for word, weight in words.items():
            if before.get(word) != weight:
                tx.set(index.index, join_name(word, id), weight)
        if before != words or known is None:
            tx.set(index.index, _list_key(id), words)
        tx.set(index.documents, id, document)

    with unwrapped_errors():
        cortex.mutable.transaction(work)


@takes_client
def remove_document(cortex: Surface, index: KeywordIndex, id: str) -> bool:
    """Removes a document and its keywords, in one transaction. Gives whether there was one."""
    keyword_index(index)

    def work(tx: Transaction) -> bool:
        words = tx.get(index.index, _list_key(id))
        if words is None:
            return False
        for word in words:
            tx.delete(index.index, join_name(word, id))
        tx.delete(index.index, _list_key(id))
        tx.delete(index.documents, id)
        return True

    with unwrapped_errors():
        removed: bool = cortex.mutable.transaction(work)
    return removed


@takes_client
def search_index(cortex: Surface, index: KeywordIndex, query: str, *, limit: int = 10) -> list[FoundDocument]:
    """Finds documents by keywords: those with most words of the query first, then those with the highest sum
    of weights, then by id.

    :param query: words, as ``keywords_of`` finds them in a text.
    :param limit: how many documents at most: 1 to 1000.
    """
    keyword_index(index)
    words = keywords_of(text(query, "query", "INVALID_VALUE"))
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 1000:
        raise refused("INVALID_LIMIT", "limit", f"is not a whole number from 1 to 1000: {limit!r}")
    found: dict[str, tuple[float, int]] = {}
    for word in words:
        for record in cortex.mutable.scan(index.index, key_prefix=prefix_name(word)):
            id = split_name(record.key)[1]
            score, matched = found.get(id, (0, 0))
            found[id] = (score + record.value, matched + 1)
    ranked = sorted(found.items(), key=lambda one: (-one[1][1], -one[1][0], one[0]))
    best = ranked[:limit]
    values = read_many(cortex, index.documents, [id for id, _ in best])
    results = []
    for (id, (score, matched)), document in zip(best, values):
        if document is not None or cortex.mutable.exists(index.documents, id):  # else it was removed meanwhile
            results.append(FoundDocument(id, document, score, matched))
    return results

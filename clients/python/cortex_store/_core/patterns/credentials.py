"""Refuses what looks like a credential: the store is shared, and its history and its log keep what was stored."""

from __future__ import annotations

import re
from typing import Any, Optional

from ..errors import CortexError

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

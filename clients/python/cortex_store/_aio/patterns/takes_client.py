"""Every pattern takes a client, or a scope or claim of one."""

from __future__ import annotations

import functools
from typing import Any, Callable, TypeVar, cast

from ..._core.errors import refused
from ..scopes import AsyncSurface

Pattern = TypeVar("Pattern", bound=Callable[..., Any])


def takes_client(pattern: Pattern) -> Pattern:
    """Makes a pattern refuse what is no client of its kind."""

    @functools.wraps(pattern)
    def checked(cortex: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(cortex, AsyncSurface):
            raise refused(
                "INVALID_OPTIONS", "cortex", f"is no AsyncCortex and no scope of one: {type(cortex).__name__}"
            )
        return pattern(cortex, *arguments, **options)

    return cast(Pattern, checked)

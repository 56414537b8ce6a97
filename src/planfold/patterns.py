"""``pattern``: a regular expression that is compiled when it is first used. A process uses few of
those that it imports, and compiling all of them takes longer than reading a plan."""

from __future__ import annotations

import re
from typing import Any, cast


class _Pattern:
    def __init__(self, text: str, flags: int) -> None:
        self.pattern = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(self.pattern, self._flags), name)
        setattr(self, name, value)  # the next time it is found here
        return value


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """As :func:`re.compile`; what is wrong with ``text`` is found out by its first use."""
    return cast("re.Pattern[str]", _Pattern(text, flags))

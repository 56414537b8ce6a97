"""``LimitCaller``: the methods of a client about shared limits."""

from __future__ import annotations

from urllib.parse import quote

from planfold.service import messages as m
from planfold.service.caller import BY_NAME, Caller
from planfold.service.operations import Operation


class LimitCaller(Caller):
    """Looks at the shared limits of a service, and opens them: see the methods of :class:`App`."""

    def limits(self) -> Operation[m.LimitPage]:
        """All shared limits that a worker has declared."""
        return self._make("limits", m.LimitPage)

    def open_limit(self, name: str) -> Operation[m.LimitPage]:
        """Open a limit that a server has closed; the answer has all limits."""
        route = BY_NAME["open_limit"]
        path = route.path.format(limit_name=quote(name, safe=""))
        return Operation(self._connection, route.method, path, {"headers": {}}, m.LimitPage)

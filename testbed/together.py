"""Which tests run in one process, one after the other, because what they set up is expensive.

The marker ``xdist_group`` would say the same, but with pytest 9.2 pytest-xdist 3.8 ignores it.
"""

from __future__ import annotations

from typing import Any

# The name of the group of all tests whose path begins so.
GROUPS = {
    "tests/acceptance/test_planning_over_http.py": "vendors",
    "tests/compaction/test_real_logs.py": "real logs",
    "tests/executors/test_agent_http.py": "vendors",
    "tests/page/": "page",
    "tests/providers/test_mcp_client.py": "mcp",
    "tests/providers/test_models": "vendors",
    "tests/service/test_container_image.py": "image",
}


def group_of(nodeid: str) -> str:
    """The group of a test; that of most has no other test."""
    return next((name for path, name in GROUPS.items() if nodeid.startswith(path)), nodeid)


def scheduler(config: Any, log: Any) -> Any:
    """The hook ``pytest_xdist_make_scheduler``: each process gets one group after the other, that
    of most tests first."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Together(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Together(config, log)

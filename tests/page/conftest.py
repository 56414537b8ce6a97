"""One browser and one service for each module, one session for each test.

Where playwright is open, its event loop runs in this thread: so it is closed before another module,
which may have asynchronous tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from testbed.browser import CHROMIUM, PATIENCE_MS, Watched, chromium
from testbed.site import Site

# There is no wheel of playwright for some machines.
collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium: install it with `apt-get install -y chromium`")
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("site"))
    try:
        yield found
    finally:
        found.kill()


@pytest.fixture
def watched(site: Site) -> Iterator[Watched]:
    found = Watched(site.address)
    yield found
    assert found.unexpected() == []


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    found = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-GB")
    found.set_default_timeout(PATIENCE_MS)
    yield found
    found.close()


@pytest.fixture
def page(site: Site, context: Any, watched: Watched) -> Any:
    """A tab that is signed in, at the list of plans."""
    tab = watched.watch(context.new_page())
    tab.goto(site.launch_url())
    tab.get_by_role("heading", name="Plans").wait_for()
    return tab

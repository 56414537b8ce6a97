"""A profile from a file is recorded with the plans that begin under it."""

from __future__ import annotations

from pathlib import Path

import pytest

from planfold.assembly import planner_config
from planfold.compaction.profiles import Profile
from planfold.errors import ConfigurationError
from planfold.runtime.settings import Settings


def test_a_profile_of_a_file_goes_into_the_plans_configuration(tmp_path: Path) -> None:
    (tmp_path / "billing.toml").write_text('name = "billing"\nwords = ["INV-"]\n')
    config = planner_config(Settings(workspace=str(tmp_path), profile="billing.toml"))
    assert config.profile == "billing"
    assert config.own_profile == Profile("billing", words=("INV-",))


def test_a_built_in_profile_is_recorded_by_name() -> None:
    config = planner_config(Settings(profile="analysis"))
    assert (config.profile, config.own_profile) == ("analysis", None)


@pytest.mark.parametrize("text", [None, "name = ", 'name = "a"\nkeep = ["x"]', b"\xff\xfe"])
def test_a_file_that_is_no_profile_is_refused(text: str | bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigurationError, match=r"p\.toml"):
        planner_config(Settings(workspace=str(tmp_path), profile="p.toml"))

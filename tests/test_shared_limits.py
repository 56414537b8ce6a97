"""``SharedLimit``: what a rate may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from planfold import ConfigurationError, Settings, SharedLimit
from planfold.runtime.settings import load_settings


@pytest.mark.parametrize(
    ("rate", "starts", "period"),
    [
        ("60/min", 60, 60.0),
        ("10/s", 10, 1.0),
        ("500 / 15min", 500, 900.0),
        ("7/2h", 7, 7200.0),
        ("10000/d", 10_000, 86_400.0),
    ],
)
def test_rates(rate: str, starts: int, period: float) -> None:
    limit = SharedLimit(rate=rate)
    assert (limit.starts, limit.period, limit.concurrency) == (starts, period, None)


@pytest.mark.parametrize(
    "rate", ["", "60", "0/min", "10001/d", "6.5/s", "5/0min", "1/week", "-1/s"]
)
def test_what_is_not_a_rate(rate: str) -> None:
    with pytest.raises(ConfigurationError, match=r'write "60/min"'):
        Settings(limits={"x": SharedLimit(rate=rate)})


def test_a_limit_limits_something() -> None:
    with pytest.raises(ConfigurationError, match="no rate and no concurrency"):
        Settings(limits={"x": SharedLimit()})
    with pytest.raises(ConfigurationError, match="concurrency must be at least 1, not 0"):
        Settings(limits={"x": SharedLimit(concurrency=0)})
    assert SharedLimit(concurrency=1).starts is None


def test_they_are_declared_in_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "planfold.toml"
    file.write_text('[limits.openai]\nrate = "60/min"\n[limits.production]\nconcurrency = 1\n')
    settings = load_settings(tmp_path, {})
    assert settings.limits == {
        "openai": SharedLimit(rate="60/min"),
        "production": SharedLimit(concurrency=1),
    }
    for text, fault in [
        (
            '[limits.openai]\nrate = "often"',
            r"planfold\.toml: limits\.openai\.rate: 'often' is not",
        ),
        ("[limits.openai]\nrat = 1", r"no setting 'rat' in limits\.openai; did you mean 'rate'"),
        ('[limits."a b"]\nconcurrency = 1', "'a b' is not a name of a limit"),
        ("[limits.a]\n", r"limits\.a has no rate"),
    ]:
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=fault):
            load_settings(tmp_path, {})
    with pytest.raises(ConfigurationError, match="use letters"):
        Settings(limits={"a,b": SharedLimit(concurrency=1)})

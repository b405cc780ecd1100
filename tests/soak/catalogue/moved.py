"""A worker under a clock that somebody moves: `python -m tests.soak.catalogue.moved FILE`, with the settings of a real one.

FILE says by how many milliseconds the wall clock is off. The clocks that only go forwards are left alone, as they are when somebody
sets the time of a machine.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from streams.cli import main

LOOK_SECONDS: Final = 0.05
MS: Final = 1_000_000


class Moved:
    """By how much the clock is off at this moment (ns)."""

    def __init__(self, file: Path) -> None:
        self.file, self.by, self.until = file, 0, 0.0

    def __call__(self) -> int:
        """Looks at the file now and then; while it is written the clock stays as it is."""
        if (now := time.monotonic()) > self.until:
            self.until = now + LOOK_SECONDS
            if text := self.file.read_text("ascii"):
                self.by = int(text) * MS
        return self.by


def move(moved: Moved, true: Callable[[], int] = time.time_ns) -> None:
    """From now on everybody who asks for the time is told what the file makes of it."""
    time.time_ns = lambda: true() + moved()
    time.time = lambda: (true() + moved()) / 1e9


if __name__ == "__main__":
    move(Moved(Path(sys.argv.pop(1))))
    main()

"""How much memory workers have while they are under faults, by process; nothing where the system does not tell."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.soak.run import Soak
from tests.soak.workers import Workers

LOOK_SECONDS: Final = 0.5
SETTLED_LOOKS: Final = 8
"""A process that has not run so long is still loading its code."""


@dataclass
class Memory:
    """Resident memory (MB) of every process, looked at again and again."""

    workers: Workers
    seen: dict[int, list[int]] = field(default_factory=dict)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks as long as the block lasts."""
        task = asyncio.create_task(self.look())
        try:
            yield
        finally:
            task.cancel()

    async def look(self) -> None:
        """Again and again."""
        while True:
            for worker in self.workers.all:
                if worker.process is not None and (size := resident_mb(worker.process.pid)):
                    self.seen.setdefault(worker.process.pid, []).append(size)
            await asyncio.sleep(LOOK_SECONDS)

    @property
    def long_lived(self) -> list[list[int]]:
        """What is known of processes that had settled, from then on."""
        return [sizes[SETTLED_LOOKS:] for sizes in self.seen.values() if len(sizes) > SETTLED_LOOKS]

    @property
    def growth_mb(self) -> int:
        """By how much a process is larger in the end than when it had settled, at most."""
        return max((sizes[-1] - sizes[0] for sizes in self.long_lived), default=0)

    def judge(self, soak: Soak, most_mb: int) -> None:
        """Says that a worker has grown by more than it may."""
        if self.growth_mb > most_mb:
            soak.tell("a worker grew", f"by {self.growth_mb} MB", wrong=True)

    def __str__(self) -> str:
        worst = max(self.long_lived, key=lambda sizes: sizes[-1], default=[])
        return f"{worst[0]} → {worst[-1]}" if worst else "–"


def resident_mb(pid: int) -> int:
    """The resident memory of a process; 0 where it is gone, or the system keeps it to itself."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("VmRSS:")), 0)

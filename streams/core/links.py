"""Links of a chain, their scores as exact fractions, and which one is the weakest (docs/counting.md, 6)."""

from collections.abc import Iterable
from typing import Final, NamedTuple

KINDS: Final = ("unserved", "wait", "hold", "handover", "gap", "touch")


class Link(NamedTuple):
    """One scored link: ``met`` of ``asked`` is its score; overrun and start in ms; ``id`` breaks the last tie."""

    kind: str
    team: str
    reason: str
    met: int
    asked: int
    overrun: int
    start: int
    id: tuple[str, int, int]

    @property
    def score(self) -> int:
        """Thousandths, rounded down."""
        return self.met * 1000 // self.asked


def timed(target: int, actual: int) -> tuple[int, int]:
    """min(1, target / actual) as a fraction; nothing taken is 1."""
    return (1, 1) if actual <= target else (target, actual)


def counted(target: int, actual: int) -> tuple[int, int]:
    """(target + 1) / (max(actual, target) + 1) as a fraction."""
    return target + 1, max(actual, target) + 1


def weakest(links: Iterable[Link]) -> Link | None:
    """The lowest score; ties by kind, larger overrun, earlier start, id."""
    best: Link | None = None
    for link in links:
        if best is None or weaker(link, best):
            best = link
    return best


def weaker(a: Link, b: Link) -> bool:
    """Whether ``a`` is a weaker link than ``b``."""
    left, right = a.met * b.asked, b.met * a.asked
    if left != right:
        return left < right
    return (KINDS.index(a.kind), -a.overrun, a.start, a.id) < (KINDS.index(b.kind), -b.overrun, b.start, b.id)

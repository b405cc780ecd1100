"""How long this process surely owns its shards: until then, and not a moment longer, their series are served.

Everything counts from the *send* time of a request that was confirmed, by a clock that goes on while the process is stopped. The
group's coordinator expels a member no sooner than a session after it received that request, and only then can somebody else be
given its shards; the margin is kept on our side.

Through a rebalance: a member that has asked to join may lose a shard as soon as the others have joined as well. It goes on serving
what it had for a short `grace` from the moment of asking. Whoever is given a shard that he did not have waits until the grace of
any former owner is over, counted from the answer to his own request, which no join of this generation can have followed.
"""

import time
from collections.abc import Callable
from typing import Final

MARGIN: Final = 1.0
GRACE_SHARE: Final = 4


def boottime() -> float:
    """Seconds on a clock that runs while the process, or the machine, sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


class Lease:
    """The lease of one process. ``session`` is the group's session timeout in seconds; ``heard``: when what was last confirmed was sent.

    Any thread may call.
    """

    def __init__(self, session: float, clock: Callable[[], float] = boottime) -> None:
        self.session, self.clock = session, clock
        self.grace = session / GRACE_SHARE
        self.until = self.heard = 0.0
        self.asked: float | None = None
        self.joined = 0.0
        self.losses = self.known = 0

    def confirmed(self, sent: float) -> None:
        """A heartbeat or a join that was sent then has been confirmed."""
        self.until = max(self.until, sent + self.session - MARGIN)
        self.heard = max(self.heard, sent)

    def lost(self) -> None:
        """The coordinator does not know this member any more: what it had may be somebody else's, and be changed by him."""
        self.until = 0.0
        self.losses += 1

    def asking(self, sent: float) -> None:
        """A request to join goes out: from now on shards may become somebody else's."""
        if self.asked is None:
            self.asked = sent

    def answered(self, sent: float) -> None:
        """The request to join that was sent then has been answered: everybody of this generation has joined."""
        self.confirmed(sent)
        self.joined, self.known = self.clock(), self.losses

    def assigned(self) -> None:
        """It is known which shards are ours, and those that are not any more have been put away."""
        self.asked = None

    def holds(self) -> bool:
        """Whether this process surely owns its shards at this moment."""
        now = self.clock()
        return now < self.until and (self.asked is None or now < self.asked + self.grace)

    def settled(self) -> float:
        """The instant (of the lease's clock) from which a shard that was taken over may be served."""
        return self.joined + self.grace + MARGIN / 2

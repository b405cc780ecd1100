"""What the demo reads of its worker: /metrics, /readyz and /chains, as anybody does who scrapes or asks."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

from streams.core.series import SERIES
from streams.metrics import PREFIX
from streams.summary import Totals

Chain = Mapping[str, Any]
T = TypeVar("T")

LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
ESCAPED: Final = re.compile(r"\\(.)")
SHOWN: Final = (
    "moments_of_truth_total", "moments_judged_total", "transfers_started_total", "handovers_total", "chains_closed_total",
    "weakest_links_total", "customers_waiting", "longest_wait_seconds", "in_conversation", "chains_open",
)  # fmt: skip
LARGEST: Final = frozenset({"longest_wait_seconds"})
OF_THE_WORKER: Final = frozenset({"karar_consumer_lag", "karar_event_lag_seconds_sum", "karar_event_lag_seconds_count"})
FAMILIES: Final[dict[str, tuple[str, int]]] = {
    **{PREFIX + SERIES[name].retracted: (name, -1) for name in SHOWN if SERIES[name].kind == "counter"},
    **{PREFIX + name: (name, 1) for name in SHOWN},
}
"""By the name at /metrics: which family that is, and the sign of what it says: a retracted twin tells what is no longer true."""
ASSEMBLE: Final = "assemble-"
FORWARD: Final = ".forward"
BEFORE: Final = 'stage="assemble"'
"""A record's way ends with the second stage."""
ANSWER_SECONDS: Final = 5
WORST: Final = 200


@dataclass
class Figures:
    """Net amounts over all shards by family and label values (of waits the longest), and what the worker says of itself by name.

    ``shards``: those that are served.
    """

    totals: Totals = field(default_factory=Counter)
    shards: set[str] = field(default_factory=set)
    worker: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ready:
    """How far the worker is: its shards, how many have caught up, what of the publishers' records is applied, why one is refused.

    ``counting``: the shards that have something to serve, those of the second stage.
    """

    shards: int = 0
    counting: int = 0
    caught_up: int = 0
    applied: int = 0
    why: str = ""


def figures(text: str) -> Figures:
    """What a page of metrics says of the families that the demo shows; everything else is passed over."""
    found = Figures()
    for line in text.splitlines():
        name, _, rest = line.partition("{" if "{" in line else " ")
        if name in FAMILIES:
            family, sign = FAMILIES[name]
            shown, _, value = rest.rpartition("} ")
            labels = {label: ESCAPED.sub(r"\1", given) for label, given in LABEL.findall(shown)}
            key = (family, *(labels[label] for label in SERIES[family].labels))
            found.shards.add(labels["shard"])
            amount = round(float(value))
            found.totals[key] = max(found.totals[key], amount) if family in LARGEST else found.totals[key] + sign * amount
        elif name in OF_THE_WORKER and BEFORE not in rest:
            found.worker[name] = found.worker.get(name, 0.0) + float(rest.rpartition(" ")[2])
    return found


def ready(told: Mapping[str, Any]) -> Ready:
    """What /readyz says, summed up."""
    shards = told["shards"]
    return Ready(
        shards=len(shards),
        counting=sum(not shard["name"].startswith(ASSEMBLE) for shard in shards),
        caught_up=sum(shard["state"] == "open" for shard in shards),
        applied=sum(
            at
            for shard in shards
            for topic, at in shard["position"].items()
            if shard["name"].startswith(ASSEMBLE) and not topic.endswith(FORWARD)
        ),
        why=next((shard["why"] for shard in shards if shard["why"]), ""),
    )


def worst(told: Mapping[str, Any]) -> Chain | None:
    """Of the open chains with the lowest score the one that was active last."""
    chains = [chain for chain in told["chains"] if chain["weakest"]]
    return min(chains, key=lambda chain: (chain["score"], -chain["activity"]), default=None)


class Window:
    """The pages of a worker on this machine. What it does not answer is None: it starts, or is not sure of its shards."""

    def __init__(self, port: int, token: str) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def __aenter__(self) -> Self:
        self.session = ClientSession(self.address, headers=self.headers, timeout=ClientTimeout(ANSWER_SECONDS))
        return self

    async def __aexit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        await self.session.close()

    async def page(self, address: str, *, whatever: bool = False) -> bytes | None:
        """A page, where it is answered with 200, or ``whatever`` the status is."""
        try:
            async with self.session.get(address) as answer:
                content = await answer.read()
                return content if whatever or answer.ok else None
        except (ClientError, TimeoutError, OSError):
            return None

    async def figures(self) -> Figures | None:
        """What /metrics says."""
        content = await self.page("/metrics")
        return None if content is None else figures(content.decode())

    async def ready(self) -> Ready | None:
        """What /readyz says."""
        return await self.asked("/readyz", ready, whatever=True)

    async def worst(self) -> Chain | None:
        """The worst open chain, as /chains has it."""
        return await self.asked(f"/chains?open=1&sort=score&limit={WORST}", worst)

    async def asked(self, address: str, read: Callable[[Any], T], *, whatever: bool = False) -> T | None:
        """What is read of a page of JSON. Where the worker cannot have its port, whoever has it answers anything."""
        content = await self.page(address, whatever=whatever)
        try:
            return None if content is None else read(orjson.loads(content))
        except (ValueError, KeyError, TypeError):
            return None

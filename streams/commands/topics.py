"""`karar topics`: creates the topics that do not exist, and says what is wrong with those that do."""

import asyncio
from collections.abc import Collection, Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.logs import hushed
from streams.settings import Settings
from streams.topics import Found, create, look


def run(settings: Settings, console: Console, *, only_check: bool) -> bool:
    """Prints every topic with its state; whether all are as they must be. BrokerError, ValueError: one line."""
    with hushed("aiokafka"):
        created = [] if only_check else asyncio.run(create(settings))
        found = asyncio.run(look(settings))
    console.print(shown(found, created))
    return not any(topic.problems for topic in found)


def shown(found: Iterable[Found], created: Collection[str]) -> Table:
    """One line a topic, and one for each further problem."""
    table = Table("topic", "key", "partitions", "kept", "state", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.columns[2].justify = "right"
    for topic, partitions, problems in found:
        first, *more = problems or ["created" if topic.name in created else "ok"]
        row = (topic.name, topic.key, f"{partitions or ''}", topic.policy, Text(first, "red" if problems else ""))
        table.add_row(*row)
        for problem in more:
            table.add_row("", "", "", "", Text(problem, "red"))
    return table

"""Between workers and Kafka: a proxy that passes frames on, loses the answers to some requests, or cuts everything off."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import Final, Self

from streams.broker.kafka import HOST

PRODUCE: Final = 0
ADD_PARTITIONS: Final = 24
END_TRANSACTION: Final = 26

SIZE: Final = Struct(">i")
FRONT: Final = Struct(">hhi")
CORRELATION: Final = Struct(">i")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Listens at ``port`` for Kafka at ``behind``. ``loses`` says of an answer, by the kind of its request, whether it is lost.

    An answer is lost in silence, or, where it ``closes``, with its connection. ``lost`` counts them by kind, ``passed`` what went through.
    """

    def __init__(self, port: int, behind: int) -> None:
        self.port, self.behind = port, behind
        self.loses: Callable[[int], bool] = lambda _: False
        self.closes = False
        self.lost: Counter[int] = Counter()
        self.passed: Counter[int] = Counter()
        self.open = asyncio.Event()
        self.open.set()
        self.refuses = False
        self.connections: set[asyncio.Task[None]] = set()
        self.server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self.accept, HOST, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.server is not None:
            self.server.close()
        await self.hang_up()

    def cut(self) -> None:
        """Nothing comes through any more, and nobody is told: what is under way stays under way."""
        self.open.clear()

    async def tear(self) -> None:
        """Every connection ends, and none can be made."""
        self.refuses = True
        await self.hang_up()

    def heal(self) -> None:
        """Everything comes through again, also what was held up."""
        self.refuses = False
        self.open.set()

    async def hang_up(self) -> None:
        """Ends every connection."""
        for task in list(self.connections):
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until one side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            if not self.refuses:
                await self.connect((reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            self.connections.discard(task)
            writer.close()

    async def connect(self, client: Streams) -> None:
        """Passes everything on in both directions."""
        try:
            kafka = await asyncio.open_connection(HOST, self.behind)
        except OSError:
            return
        asked: dict[int, int] = {}
        jobs = [asyncio.create_task(self.ask(client[0], kafka[1], asked)), asyncio.create_task(self.answer(kafka[0], client[1], asked))]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            kafka[1].close()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, int]) -> None:
        """Requests, and what kind each was."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await read(reader)
                kind, _, correlation = FRONT.unpack_from(frame, SIZE.size)
                asked[correlation] = kind
                await self.open.wait()
                writer.write(frame)
                await writer.drain()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, int]) -> None:
        """Answers, but for those that are lost."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await read(reader)
                kind = asked.pop(CORRELATION.unpack_from(frame, SIZE.size)[0])
                await self.open.wait()
                if self.loses(kind):
                    self.lost[kind] += 1
                    if self.closes:
                        return
                    continue
                self.passed[kind] += 1
                writer.write(frame)
                await writer.drain()


async def read(reader: asyncio.StreamReader) -> bytes:
    """One frame with its size in front."""
    front = await reader.readexactly(SIZE.size)
    return front + await reader.readexactly(SIZE.unpack(front)[0])

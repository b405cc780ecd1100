"""The jars of Kafka: one pinned list, fetched from a Maven repository, right to the last bit or not used."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from importlib.resources import files
from os import getpid
from pathlib import Path
from secrets import token_hex
from typing import Final, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from streams.broker import BrokerError
from streams.settings import mirror, value

SILENCE_SECONDS: Final = 30
PAUSES: Final = (0.5, 1.0, 2.0)
CHUNK: Final = 1 << 16
DAY: Final = 24 * 3600
WORTH_TRYING_AGAIN: Final = {408, 425, 429}


class Jar(NamedTuple):
    """A file in a Maven repository, and what it must be."""

    coordinates: str
    size: int
    sha256: str

    @property
    def path(self) -> str:
        """Where a repository has it."""
        group, artifact, version = self.coordinates.split(":")
        return f"{group.replace('.', '/')}/{artifact}/{version}/{self.file}"

    @property
    def file(self) -> str:
        """Its name, there and here."""
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


class UnfetchedError(Exception):
    """A download that came to nothing; ``hopeless`` if it would again."""

    def __init__(self, reason: str, *, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.hopeless = hopeless


def parse(text: str) -> list[Jar]:
    """The jars of a list: `group:artifact:version size sha256`, one a line."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [Jar(coordinates, int(size), sha256) for coordinates, size, sha256 in rows]


def pinned() -> list[Jar]:
    """The jars that make a Kafka, itself first. `make jars` writes the list."""
    return parse(files("streams.broker").joinpath("jars.txt").read_text("utf-8"))


def version_of(jars: Sequence[Jar]) -> str:
    """Which Kafka a list makes."""
    return jars[0].coordinates.rsplit(":", 1)[1]


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where fetched files are kept: KARAR_CACHE, else where the system keeps such things."""
    if given := value(environment, "KARAR_CACHE"):
        return Path(given).absolute()
    base = Path(environment.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "karar"


def fetched(environment: Mapping[str, str]) -> list[Path]:
    """Kafka's jars as files, fetched if they are not there or not right. BrokerError: one line."""
    jars = pinned()
    folder = cache_folder(environment) / f"kafka-{version_of(jars)}"
    fetch(jars, folder, mirror(environment))
    return [folder / jar.file for jar in jars]


def fetch(jars: Sequence[Jar], folder: Path, repository: str, pauses: Sequence[float] = PAUSES) -> None:
    """Makes every jar of the list stand in the folder as pinned, fetching what is not. BrokerError: one line.

    An empty ``repository`` is Maven Central.
    """
    try:
        wrong = [jar for jar in jars if not is_right(folder / jar.file, jar)]
        if not wrong:
            return
        repository = (repository or maven_central()).rstrip("/")
        with partial_folder(folder) as partial, progress(version_of(jars), wrong, repository) as advance:
            for jar in wrong:
                persist(f"{repository}/{jar.path}", jar, partial / jar.file, advance, pauses)
            settle(partial, folder, wrong)
    except OSError as error:
        message = f"{error.filename or folder}: cannot be used: {error.strerror}; name another folder with KARAR_CACHE"
        raise BrokerError(message) from None


def maven_central() -> str:
    """The address of Maven Central, as jgo knows it. BrokerError: one line."""
    try:
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - an extra that not everybody installs
    except ImportError:
        advice = "in Karar's folder `pip install '.[broker]'`, or name a mirror with KARAR_MAVEN_REPOSITORY"
        message = f"jgo, which knows where to fetch Kafka, is missing; {advice}"
        raise BrokerError(message) from None
    return MAVEN_CENTRAL_URL


def is_right(path: Path, jar: Jar) -> bool:
    """Tells whether a file is what the list says."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if path.stat().st_size == jar.size:
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == jar.sha256
    return False


@contextmanager
def partial_folder(folder: Path) -> Iterator[Path]:
    """A folder of one's own beside the one that is meant; what a killed process left there a day ago is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f"{folder.name}.partial-*"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - DAY:
                shutil.rmtree(left, ignore_errors=True)
    # The process id alone is not enough: in containers that share a cache everybody is process 1.
    partial = folder.with_name(f"{folder.name}.partial-{getpid()}-{token_hex(4)}")
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def progress(version: str, jars: Sequence[Jar], repository: str) -> Iterator[Callable[[int], None]]:
    """Says on standard error what is fetched from where, and where somebody looks, how far that is."""
    total = sum(jar.size for jar in jars)
    console = Console(stderr=True)
    console.print(Text(f"Fetching Apache Kafka {version}: {len(jars)} files, {total / 1e6:,.1f} MB from {repository}"), soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"Apache Kafka {version}", total=total)
        yield lambda size: bar.advance(task, size)


def persist(url: str, jar: Jar, path: Path, advance: Callable[[int], None], pauses: Sequence[float]) -> None:
    """Downloads a jar, again after each pause while that may help. BrokerError: one line."""
    for pause in (*pauses, None):
        try:
            return download(url, jar, path, advance)
        except UnfetchedError as problem:
            advance(-path.stat().st_size)
            if pause is None or problem.hopeless:
                advice = "check the network, name a mirror with KARAR_MAVEN_REPOSITORY, or a running Kafka with KARAR_BROKER"
                message = f"Kafka cannot be fetched: {url}: {problem}; {advice}"
                raise BrokerError(message) from None
            time.sleep(pause)
    return None


def download(url: str, jar: Jar, path: Path, advance: Callable[[int], None]) -> None:
    """Writes what a repository sends, and refuses what is not the jar."""
    size, digest = 0, hashlib.sha256()
    with path.open("wb") as out:
        for chunk in received(url):
            size += len(chunk)
            digest.update(chunk)
            out.write(chunk)
            advance(len(chunk))
            if size > jar.size:
                message = f"more than its {jar.size:,} bytes came"
                raise UnfetchedError(message)
    if size < jar.size:
        message = f"only {size:,} of its {jar.size:,} bytes came"
        raise UnfetchedError(message)
    if digest.hexdigest() != jar.sha256:
        message = f"its SHA-256 is {digest.hexdigest()}, not {jar.sha256}"
        raise UnfetchedError(message)


def received(url: str) -> Iterator[bytes]:
    """What an address sends, piece by piece, through the proxy and with the certificates of the environment."""
    try:
        request = Request(url, headers={"User-Agent": "karar"})  # noqa: S310 - the address is the user's, the hash is ours
        with urlopen(request, timeout=SILENCE_SECONDS) as response:  # noqa: S310 - as above
            while chunk := response.read(CHUNK):
                yield chunk
    except HTTPError as error:
        error.close()
        hopeless = error.code < 500 and error.code not in WORTH_TRYING_AGAIN  # noqa: PLR2004 - from there on it is the server's fault
        message = f"HTTP status {error.code} {error.reason}"
        raise UnfetchedError(message, hopeless=hopeless) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UnfetchedError(getattr(reason, "strerror", None) or str(reason) or type(error).__name__) from None
    except ValueError as error:
        raise UnfetchedError(str(error), hopeless=True) from None


def settle(partial: Path, folder: Path, jars: Sequence[Jar]) -> None:
    """Makes the whole folder the one that is meant; where there is one already, the jars that were wrong in it."""
    try:
        partial.rename(folder)
    except OSError:
        for jar in jars:
            (partial / jar.file).replace(folder / jar.file)

"""Fetching Kafka: whole and right to the last bit, or not used. The repository is a server of this process with tiny jars."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import pytest

from streams.broker import BrokerError, jars
from streams.broker.jars import DAY, Jar, cache_folder, fetch, maven_central, parse, pinned

CONTENTS: Final = {f"org.example:part-{n}:1.{n}": bytes([n]) * (100_000 + n) for n in range(3)}
JARS: Final = [Jar(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in CONTENTS.items()]
FILES: Final = {jar.path: CONTENTS[jar.coordinates] for jar in JARS}
FIRST, SECOND, THIRD = JARS
AGAIN: Final = (0.0, 0.0)
FETCH: Final = """\
import signal, sys
from pathlib import Path
from streams.broker.jars import fetch, parse
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests are started in the background
listed, folder, repository = sys.argv[1:]
fetch(parse(Path(listed).read_text("utf-8")), Path(folder), repository)
"""

Answering: TypeAlias = Callable[["Answer", bytes], None]


class Repository(ThreadingHTTPServer):
    """A Maven repository that answers as it is told: each path by its next answer, then as it should."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, list[Answering]] = {}

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}/maven2"

    def will(self, jar: Jar, *answers: Answering) -> None:
        """Says how the next requests of a jar are answered."""
        self.answers[jar.path] = list(answers)


class Answer(BaseHTTPRequestHandler):
    """One request, one answer."""

    server: Repository

    def do_GET(self) -> None:
        """Answers as told, else with the file."""
        path = self.path.removeprefix("/maven2/")
        self.server.asked[path] += 1
        told = self.server.answers.get(path)
        (told.pop(0) if told else Answer.whole)(self, FILES[path])

    def whole(self, content: bytes) -> None:
        """The file."""
        self.head(len(content))
        self.wfile.write(content)

    def head(self, length: int | None) -> None:
        """Says that a file follows, and maybe how long it is."""
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def cut(answer: Answer, content: bytes) -> None:
    """The connection ends half-way."""
    answer.head(len(content))
    answer.wfile.write(content[: len(content) // 2])


def cut_unseen(answer: Answer, content: bytes) -> None:
    """Half of it, and nothing says that it was to be more."""
    answer.head(None)
    answer.wfile.write(content[: len(content) // 2])


def flipped(answer: Answer, content: bytes) -> None:
    """One bit is another, the length is right."""
    answer.head(len(content))
    answer.wfile.write(content[:50_000] + bytes([content[50_000] ^ 1]) + content[50_001:])


def endless(answer: Answer, content: bytes) -> None:
    """It never stops."""
    answer.head(None)
    with suppress(OSError):
        while True:
            answer.wfile.write(content)


def missing(answer: Answer, _: bytes) -> None:
    """There is no such file."""
    answer.send_error(404)


def overloaded(answer: Answer, _: bytes) -> None:
    """Come back later."""
    answer.send_error(503)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A repository on the loopback interface, which no proxy of the machine's stands before."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Repository() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the jars are to be; it does not exist yet, nor does the cache."""
    return tmp_path / "cache" / "kafka-1.0"


def is_whole(folder: Path) -> bool:
    """Tells whether every jar is there and right, and nothing else beside it."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found == {jar.file: CONTENTS[jar.coordinates] for jar in JARS} and list(folder.parent.iterdir()) == [folder]


def fetching(repository: Repository, folder: Path, tmp_path: Path) -> "subprocess.Popen[bytes]":
    """Fetch in a process of its own."""
    listed = tmp_path / "jars.txt"
    listed.write_text("".join(f"{jar.coordinates} {jar.size} {jar.sha256}\n" for jar in JARS), "utf-8")
    return subprocess.Popen([sys.executable, "-c", FETCH, listed, folder, repository.url], stderr=subprocess.DEVNULL)


def test_everything_is_fetched_once(repository: Repository, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each jar is asked for once; then the cache has it, and nobody is asked anything. What is fetched is said."""
    fetch(JARS, folder, repository.url)

    assert is_whole(folder)
    assert repository.asked == dict.fromkeys(FILES, 1)
    assert capsys.readouterr() == ("", f"Fetching Apache Kafka 1.0: 3 files, 0.3 MB from {repository.url}\n")

    fetch(JARS, folder, repository.url)

    assert repository.asked == dict.fromkeys(FILES, 1)
    assert capsys.readouterr() == ("", "")


def test_nobody_named_is_maven_central(repository: Repository, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without KARAR_MAVEN_REPOSITORY it is fetched from Maven Central; where nothing is to be fetched, nobody asks where that is."""
    monkeypatch.setattr(jars, "maven_central", lambda: repository.url)
    fetch(JARS, folder, "")

    assert is_whole(folder)
    assert repository.asked == dict.fromkeys(FILES, 1)

    monkeypatch.delattr(jars, "maven_central")
    fetch(JARS, folder, "")


def test_jgo_knows_maven_central() -> None:
    """Its constant is where we look for it, and is an address that nobody on the way can change."""
    assert urlsplit(maven_central()).scheme == "https"
    assert urlsplit(maven_central()).hostname


def test_without_jgo_a_mirror_is_to_be_named(repository: Repository, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is not everybody's, and a mirror does without it."""
    monkeypatch.setitem(sys.modules, "jgo.constants", None)
    with pytest.raises(BrokerError) as error:
        fetch(JARS, folder, "")

    advice = "in Karar's folder `pip install '.[broker]'`, or name a mirror with KARAR_MAVEN_REPOSITORY"
    assert str(error.value) == f"jgo, which knows where to fetch Kafka, is missing; {advice}"

    fetch(JARS, folder, f"{repository.url}/")

    assert is_whole(folder)


@pytest.mark.parametrize("accident", [cut, cut_unseen, flipped, endless, overloaded])
def test_an_accident_is_tried_again(repository: Repository, folder: Path, accident: Answering) -> None:
    """What comes cut off, changed, too long or not at all comes right a moment later."""
    repository.will(SECOND, accident, accident)
    fetch(JARS, folder, repository.url, AGAIN)

    assert is_whole(folder)
    assert repository.asked == {FIRST.path: 1, SECOND.path: 3, THIRD.path: 1}


@pytest.mark.parametrize(
    ("accident", "times", "reason"),
    [
        (cut, 3, "only 50,000 of its 100,001 bytes came"),
        (cut_unseen, 3, "only 50,000 of its 100,001 bytes came"),
        (endless, 3, "more than its 100,001 bytes came"),
        (overloaded, 3, "HTTP status 503 Service Unavailable"),
        (missing, 1, "HTTP status 404 Not Found"),
    ],
)
def test_what_stays_wrong_is_one_line_and_leaves_nothing(
    repository: Repository, folder: Path, accident: Answering, times: int, reason: str
) -> None:
    """What, where, what to do; not a byte of it stays. A file that is not there is not asked for again."""
    repository.will(SECOND, *[accident] * times)
    with pytest.raises(BrokerError) as error:
        fetch(JARS, folder, repository.url, AGAIN)

    assert str(error.value) == (
        f"Kafka cannot be fetched: {repository.url}/{SECOND.path}: {reason}; "
        "check the network, name a mirror with KARAR_MAVEN_REPOSITORY, or a running Kafka with KARAR_BROKER"
    )
    assert repository.asked[SECOND.path] == times
    assert list(folder.parent.iterdir()) == []


def test_a_flipped_bit_is_never_taken(repository: Repository, folder: Path) -> None:
    """The line names both hashes."""
    repository.will(SECOND, flipped, flipped, flipped)
    with pytest.raises(BrokerError, match=rf"/part-1-1.1.jar: its SHA-256 is \w{{64}}, not {SECOND.sha256}; check the network"):
        fetch(JARS, folder, repository.url, AGAIN)

    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:{port}", "Connection refused"),
        ("nowhere", "unknown url type: 'nowhere/org/example/part-0/1.0/part-0-1.0.jar'"),
        ("http://127.0.0.1:many", "nonnumeric port: 'many'"),
    ],
)
def test_a_repository_out_of_reach_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, address: str, reason: str) -> None:
    """A clear error when nothing can be fetched."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Repository() as gone:
        address = address.format(port=gone.server_port)
    with pytest.raises(BrokerError) as error:
        fetch(JARS, folder, address, AGAIN)

    assert str(error.value) == (
        f"Kafka cannot be fetched: {address}/org/example/part-0/1.0/part-0-1.0.jar: {reason}; "
        "check the network, name a mirror with KARAR_MAVEN_REPOSITORY, or a running Kafka with KARAR_BROKER"
    )


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_what_an_interrupted_run_leaves_is_never_taken_for_good(
    repository: Repository, folder: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    """Killed half-way: the folder that is meant does not exist, and the next run fetches everything."""
    half, end = threading.Event(), threading.Event()

    def stuck(answer: Answer, content: bytes) -> None:
        cut(answer, content)
        half.set()
        end.wait()

    repository.will(SECOND, stuck)
    with fetching(repository, folder, tmp_path) as process:
        assert half.wait(30)
        process.send_signal(ending)
        assert process.wait(30) != 0
        end.set()
    left = list(folder.parent.iterdir())

    assert not folder.exists()
    assert [path.name.startswith(f"kafka-1.0.partial-{process.pid}-") for path in left] == [True] * (ending is signal.SIGKILL)

    for path in left:
        os.utime(path, (0, path.stat().st_mtime - DAY - 1))
    fetch(JARS, folder, repository.url)

    assert is_whole(folder)
    assert repository.asked == {FIRST.path: 2, SECOND.path: 2, THIRD.path: 1}


def test_what_somebody_else_is_fetching_is_left_alone(repository: Repository, folder: Path) -> None:
    """Only what nobody has touched for a day is removed."""
    others = folder.with_name("kafka-1.0.partial-1-ab")
    others.mkdir(parents=True)
    fetch(JARS, folder, repository.url)

    assert sorted(folder.parent.iterdir()) == [folder, others]


def test_two_at_once_do_no_harm(repository: Repository, folder: Path, tmp_path: Path) -> None:
    """Both fetch, one is first, both are right."""
    both = threading.Barrier(2, timeout=30)

    def together(answer: Answer, content: bytes) -> None:
        both.wait()
        answer.whole(content)

    repository.will(THIRD, together, together)
    with fetching(repository, folder, tmp_path) as one, fetching(repository, folder, tmp_path) as other:
        assert (one.wait(30), other.wait(30)) == (0, 0)

    assert repository.asked == dict.fromkeys(FILES, 2)
    assert is_whole(folder)


@pytest.mark.parametrize("change", ["flip", "cut", "remove"])
def test_a_cache_that_rots_is_mended(repository: Repository, folder: Path, change: str) -> None:
    """Jars are verified also when they are found: what is wrong is fetched again, and only that."""
    fetch(JARS, folder, repository.url)
    path = folder / SECOND.file
    content = path.read_bytes()
    match change:
        case "flip":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 128]))
        case "cut":
            path.write_bytes(content[:-1])
        case _:
            path.unlink()
    fetch(JARS, folder, repository.url)

    assert is_whole(folder)
    assert repository.asked == {FIRST.path: 1, SECOND.path: 2, THIRD.path: 1}


def test_a_cache_that_cannot_be_written_is_one_line(repository: Repository, tmp_path: Path) -> None:
    """What, where, what to do."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BrokerError) as error:
        fetch(JARS, tmp_path / "file" / "kafka-1.0", repository.url)

    assert str(error.value) == f"{tmp_path / 'file'}: cannot be used: File exists; name another folder with KARAR_CACHE"
    assert repository.asked == {}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"KARAR_CACHE": "/k", "XDG_CACHE_HOME": "/x"}, "/k"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/karar"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/karar"),
        ({}, "/home/me/.cache/karar"),
    ],
)
def test_the_cache_is_where_caches_are(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    """KARAR_CACHE, else the XDG base directories, which say that a relative path is none."""
    monkeypatch.setenv("HOME", "/home/me")

    assert cache_folder(environment) == Path(expected)


def test_a_jar_is_where_every_maven_repository_has_it() -> None:
    """The standard layout; comments and empty lines of the list are none of it."""
    assert parse(f"# text\n\norg.apache.kafka:kafka_2.13:4.3.1 7 {'0' * 64}\n") == [Jar("org.apache.kafka:kafka_2.13:4.3.1", 7, "0" * 64)]
    assert Jar("org.apache.kafka:kafka_2.13:4.3.1", 7, "").path == "org/apache/kafka/kafka_2.13/4.3.1/kafka_2.13-4.3.1.jar"


def test_the_list_pins_one_kafka() -> None:
    """Kafka first, all its parts of one version, every file once, every hash a SHA-256."""
    jars = pinned()
    versions = {jar.coordinates.split(":")[2] for jar in jars if jar.coordinates.startswith("org.apache.kafka:")}

    assert jars[0].coordinates.startswith("org.apache.kafka:kafka_2.13:")
    assert len(versions) == 1
    assert len({jar.file for jar in jars}) == len(jars)
    assert all(len(bytes.fromhex(jar.sha256)) == 32 and jar.size > 0 for jar in jars)

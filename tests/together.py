"""`make test`: what is slow and waits, test after test, and beside it, in a process of its own, what needs no Kafka; then their coverage.

What is slow waits for Kafka and workers most of the time. What the other process says is printed when both have ended.
"""

import os
import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Final

from streams.broker import BrokerError
from streams.broker.kafka import JVM, Broker, java

BIN: Final = Path(sys.executable).parent
SHARE: Final = 95
"""Per cent of what must be right to the last count; pyproject.toml says what that is."""
OPTIONS: Final = "JAVA_TOOL_OPTIONS"
JAVA: Final = "-XX:TieredStopAtLevel=1"
"""What the tests let a Kafka do is too little for its code to be optimised, which took two fifths of the processor's time."""
ARCHIVE: Final = "-XX:SharedArchiveFile="


def archived(folder: Path) -> str:
    """The option by which a Kafka has its classes from an archive: to read and check them is half of a start. "" where none can be made."""
    base, classes = folder / "java.jsa", folder / "kafka.jsa"
    given = os.environ[OPTIONS]
    try:
        subprocess.run([java(), *JVM, "-Xshare:dump", ARCHIVE + str(base)], capture_output=True, check=True)
        os.environ[OPTIONS] = f"{JAVA} {ARCHIVE}{base} -XX:ArchiveClassesAtExit={classes}"
        with Broker(os.environ):
            pass  # it writes the archive as it ends
    except (BrokerError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"Kafka starts without an archive of its classes: {error}\n")
    finally:
        os.environ[OPTIONS] = given
    return f" {ARCHIVE}{classes}" if classes.exists() else ""


def pytest(name: str, chosen: str) -> tuple[list[str], dict[str, str]]:
    """The command that runs some of the tests, and its environment."""
    command = [str(BIN / "pytest"), "-m", chosen, "--cov", "--cov-report=", *sys.argv[1:]]
    return command, {**os.environ, "COVERAGE_FILE": f".coverage.{name}"}


def main() -> int:
    """Exit status 0 where both have passed, and enough is covered; else that of the first that has not."""
    os.environ.setdefault("KARAR_TEST_DRAWN", str(random.SystemRandom().randrange(1 << 32)))
    os.environ.setdefault("GOGC", "400")  # Prometheus and its tools look for garbage less often: a sixth of their time
    for stale in Path().glob(".coverage.*"):
        stale.unlink()
    ours = os.environ.setdefault(OPTIONS, JAVA) == JAVA and "KARAR_BROKER" not in os.environ
    quick, quickly = pytest("quick", "not slow or computes")
    with TemporaryDirectory(prefix="karar-java-") as folder, TemporaryFile() as said:
        with subprocess.Popen(quick, env=quickly, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as beside:
            if ours:
                os.environ[OPTIONS] += archived(Path(folder))
            slow, slowly = pytest("slow", "slow and not computes")
            first = subprocess.run(slow, env=slowly, check=False).returncode
            second = beside.wait()
        said.seek(0)
        sys.stdout.write(said.read().decode(errors="replace"))
        sys.stdout.flush()
    coverage = str(BIN / "coverage")
    subprocess.run([coverage, "combine", "--quiet"], check=False)  # where there is nothing, the report says so
    covered = subprocess.run([coverage, "report", f"--fail-under={SHARE}"], check=False).returncode
    return first or second or covered


if __name__ == "__main__":
    sys.exit(main())

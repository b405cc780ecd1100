"""Times as logs write them: a local time in a named zone, or a number, as an instant (ms since 1970-01-01 UTC)."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from schemas.codec import EPOCH

NAMED_FORMATS: Final = ("iso", "epoch", "epoch_ms")
REMEMBERED: Final = 1 << 14
_LONGEST_TIME: Final = 64
_MILLISECOND: Final = timedelta(milliseconds=1)
_PROBE: Final = datetime(2010, 3, 9, 8, 5, tzinfo=UTC)

ToInstant: TypeAlias = Callable[[str, bool], int | None]


def zone_of(name: str) -> tzinfo:
    """The named time zone, such as `Europe/Berlin`; ValueError where there is none of that name."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f'unknown zone "{name}"; write a name of the IANA time zone database, such as UTC or Europe/Berlin') from None


def instant_in(moment: datetime, zone: tzinfo, *, second_pass: bool = False) -> int:
    """A moment as an instant (ms, rounded down); one without offset is local time in `zone`.

    When clocks go back, a local time occurs twice: the first is taken, or the second with `second_pass`. When they go forward, a
    local time that never was is read by the offset before the change.
    """
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone, fold=int(second_pass))
    return (moment.astimezone(UTC) - EPOCH) // _MILLISECOND


def reader(form: str, zone: tzinfo) -> ToInstant:
    """A function from (text, second_pass) to an instant, or None if the text is no such time.

    `form` is `iso` (ISO 8601; without an offset: local in `zone`), `epoch` (seconds, decimals allowed), `epoch_ms`, or the pattern
    of `datetime.strptime`, whose numbers need no leading zeros: `%d.%m.%y %H:%M` reads `9.3.10 8:05`. ValueError for another form.
    """
    if form not in NAMED_FORMATS:
        _check(form)

    def to_instant(text: str, second_pass: bool) -> int | None:  # noqa: FBT001 - lru_cache is faster by position
        if len(text) > _LONGEST_TIME:
            return None
        try:
            if form == "epoch":
                return epoch_seconds(text)
            if form == "epoch_ms":
                return int(text) if text.isascii() and text.isdigit() else None
            moment = datetime.fromisoformat(text) if form == "iso" else datetime.strptime(text, form)  # noqa: DTZ007 - zone below
            return instant_in(moment, zone, second_pass=second_pass)
        except (ValueError, OverflowError):
            return None

    return lru_cache(REMEMBERED)(to_instant)


def epoch_seconds(text: str) -> int | None:
    """Digits, with or without decimals, as an instant (ms, rounded down); None for anything else."""
    seconds, _, decimals = text.partition(".")
    if not (text.isascii() and seconds.isdigit() and (not decimals or decimals.isdigit())) or len(seconds) > _LONGEST_TIME:
        return None
    return int(seconds) * 1000 + int(decimals[:3].ljust(3, "0"))


def _check(form: str) -> None:
    try:
        understood = datetime.strptime(_PROBE.strftime(form), form).date()  # noqa: DTZ007 - only whether the day comes back
    except (ValueError, re.error):
        understood = None
    if understood != _PROBE.date():
        raise ValueError(
            f'time format "{form}" does not read day, month and year; write a pattern such as %d.%m.%y %H:%M, '
            f"or one of {', '.join(NAMED_FORMATS)}"
        )

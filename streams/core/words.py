"""The weakest link in words: which it is, what it fell short of, and why no other is weaker."""

from collections.abc import Iterable

from streams.core.links import Link, weakest


def why(links: Iterable[Link]) -> str:
    """One sentence why the weakest link is the weakest, so far."""
    rest = list(links)
    worst = weakest(rest)
    if worst is None:
        return "No link has been judged yet: no expectation applied so far."
    if worst.met == worst.asked:
        return "Every link that was judged met what was expected, so none is the weakest."
    rest.remove(worst)
    return f"{capital(named(worst))} is the weakest link with a score of {shown(worst)}: {cause(worst)}; {compared(worst, weakest(rest))}."


def capital(text: str) -> str:
    """A text as a sentence begins."""
    return text[0].upper() + text[1:]


def shown(link: Link) -> str:
    """A score as it is published: thousandths, rounded down."""
    return f"{link.score / 1000:g}"


def named(link: Link) -> str:
    """A link in words."""
    match link.kind:
        case "wait":
            return f"the wait for {link.team}"
        case "hold":
            return f"the hold of {link.team}"
        case "handover":
            return f"the transfer by {link.team}"
        case "unserved":
            return f"the contact that {link.team} did not serve"
        case _:
            return f"the {link.kind} of {link.team}"


def cause(link: Link) -> str:
    """What a link fell short of."""
    match link.reason:
        case "wait" | "hold" | "response" | "owed_gap":
            return f"it took {link.asked / 1000:g} s where {link.met / 1000:g} s were expected"
        case "transfers":
            return f"it was transfer {link.asked - 1} of its contact where {link.met - 1} may be expected"
        case "abandoned":
            return f"the customer gave up, {link.overrun / 1000:g} s past what was expected" if link.overrun else "the customer gave up"
        case "no_show":
            return "the customer was called and did not come"
        case "left":
            return "the customer left the queue without an answer"
        case "handover":
            return "it was passed on and nobody took it"
        case _:
            return f"what was expected of it ({link.reason}) was not met"


def compared(worst: Link, second: Link | None) -> str:
    """Why the next one is not weaker."""
    if second is None:
        return "no other link was judged"
    if worst.met * second.asked != second.met * worst.asked:
        return f"next comes {named(second)} with {shown(second)}"
    if worst.kind != second.kind:
        return f"{named(second)} scored the same, but {worst.kind} counts before {second.kind}"
    if worst.overrun != second.overrun:
        return f"{named(second)} scored the same, but ran over by less"
    return f"{named(second)} scored the same, but began no earlier"

"""Who needs a credential. The apps above register how to ask them: imports run one way."""

from collections.abc import Callable, Iterable
from itertools import islice

from credentials.models import Credential

MOST_NAMED = 10

Users = Callable[[Credential], Iterable[str]]
_asked: dict[str, Users] = {}


def register(name: str, users: Users) -> None:
    """`users(credential)` names what needs it, one after the other."""
    _asked[name] = users


def users(credential: Credential) -> tuple[list[str], bool]:
    """Up to `MOST_NAMED` that need it, and whether there are more."""
    found = list(
        islice((each for ask in _asked.values() for each in ask(credential)), MOST_NAMED + 1)
    )
    return found[:MOST_NAMED], len(found) > MOST_NAMED

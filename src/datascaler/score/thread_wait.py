"""How torch's threads wait for work, which has to be said before torch is loaded."""

from collections.abc import MutableMapping

_LOOPS = "10000"


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Short loops, then sleep. What the user has set stays.

    By default OpenMP's threads loop for about a millisecond, on cores that the decode workers could have; without any
    loop the network is slower, since it has work for them again in microseconds.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", _LOOPS)

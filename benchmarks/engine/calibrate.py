"""Brings a peer to our bytes: "quality 80" means something else in every encoder."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.engine.measure import Result, judge, outputs_for
from benchmarks.engine.peers import Peer
from benchmarks.engine.runners import PeerError
from benchmarks.engine.workloads import Workload

BYTES_WITHIN = 0.05
SSIM_WITHIN = 0.003


def equal_bytes(mine: float, theirs: float) -> bool:
    """Whether two sizes count as the same."""
    return abs(theirs / mine - 1) <= BYTES_WITHIN


def calibrate(
    peer: Peer, workload: Workload, source: Path, aim: Result, say: Callable[[str], None]
) -> None:
    """Choose the qualities of ``peer`` for ``workload``. Raises PeerError if it cannot do it."""
    found = judge(peer, source, outputs_for(peer, workload))
    for kind in workload.lossy:
        asked = next(each.quality for each in workload.outputs if each.format == kind)
        if equal_bytes(aim.bytes[kind], found.bytes[kind]):
            quality, result = asked, found
        else:
            quality, result = _search(peer, workload, source, kind, aim.bytes[kind])
            peer.qualities[workload.name, kind] = quality
        ratio = result.bytes[kind] / aim.bytes[kind]
        differs = result.ssim[kind] - aim.ssim[kind]
        say(
            f"{workload.name} {peer.name}: {kind} q{asked} -> q{quality}, "
            f"bytes x {ratio:.3f}, SSIM {differs:+.4f}"
        )


def _search(
    peer: Peer, workload: Workload, source: Path, kind: str, aim: int
) -> tuple[int, Result]:
    """The quality whose bytes are nearest to ``aim``: more quality is more bytes."""
    outputs = [each for each in outputs_for(peer, workload) if each.format == kind]
    tried: dict[int, Result] = {}
    low, high = 1, 100
    while low <= high:
        middle = (low + high) // 2
        peer.qualities[workload.name, kind] = middle
        outputs = [each for each in outputs_for(peer, workload) if each.format == kind]
        tried[middle] = judge(peer, source, outputs)
        if tried[middle].bytes[kind] < aim:
            low = middle + 1
        else:
            high = middle - 1
    if not tried:
        raise PeerError("no quality could be tried")
    best = min(tried, key=lambda quality: abs(tried[quality].bytes[kind] - aim))
    return best, tried[best]

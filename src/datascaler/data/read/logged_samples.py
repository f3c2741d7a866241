"""The kept rows of a shard that are known from the log beside it: each is the sample with its uid, wherever that lies.

A log says whose samples a tar holds. In which order is what its writer meant to do: downloaders finish samples out of
order, tables are sorted, tars lose their ends. So a row number only says where to look first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datascaler.data.pool.samples import OK, Sample
from datascaler.data.pool.uids import uid_digests
from datascaler.data.read.kept_samples import FoundSamples, Piece, judged


def logged_samples(
    content: bytes | memoryview, piece: Piece, rows: Sequence[int], uids: NDArray[np.uint64]
) -> tuple[dict[int, Sample], str]:
    """The samples of `rows` (distinct) by row, from the whole of a shard; `uids` has the `uid_digests` of the rows.

    A row whose uid no sample in good state has is left out, and the text says so.
    """
    there = FoundSamples(content, piece.start)
    wanted = dict(zip(rows, uids.tolist(), strict=True))
    found: dict[int, Sample] = {}
    for row, uid in wanted.items():
        if row < there.count:
            sample = judged(row, there.spans(row), piece.start, content)
            if sample.status == OK and digest_of(sample) == uid:
                found[row] = sample
    in_place = set(found)
    elsewhere: dict[int, list[int]] = {}
    for row, uid in wanted.items():
        if row not in in_place:
            elsewhere.setdefault(uid, []).append(row)
    for at in range(there.count if elsewhere else 0):
        if at in in_place:
            continue
        sample = judged(at, there.spans(at), piece.start, content)
        here = elsewhere.get(digest_of(sample)) if sample.status == OK else None
        if here:
            sample.row = here.pop(0)
            found[sample.row] = sample
    if len(found) == len(rows):
        return found, ""
    fault = there.fault or "it is cut short" * there.is_cut
    reason = f"{len(rows) - len(found)} of {len(rows)} samples are not there in good state"
    return found, f"{reason} ({fault})" if fault else reason


def digest_of(sample: Sample) -> int:
    high, low = np.array([sample.uid], np.uint64).T
    return int(uid_digests(high, low)[0])

"""Samplers that repeat good samples: soft cap (SCS) and hard cap (HCS) sampling, FLYT, arXiv 2503.08805.

Both draw batch after batch, each without replacement by softmax(score / temperature) over all rows. SCS takes a
penalty off the score of what was drawn, so that the best are seen often and the others still come in; HCS leaves the
scores alone and lets nobody be drawn more than so many times.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from datascaler.data.select.sampler.weighted_draws import WeightedDraws
from datascaler.errors import ConfigError
from datascaler.spec.sampler import Sampler


def sample_repeats(
    scores: NDArray[np.float32], sampler: Sampler, on_draws: Callable[[int], object] = lambda _: None
) -> NDArray[np.int64]:
    """Finite scores [n] -> how often each row is drawn [n]; the sum is `sampler.draws`.

    A row's luck depends on the seed and its place, so the order of the rows must mean something. `on_draws` is told of
    each batch. Raises ConfigError where a batch or all draws together ask for more rows than there are.
    """
    _check_rows(len(scores), sampler)
    with np.errstate(over="ignore"):
        logits = (scores / sampler.temperature).astype(np.float32)
    if not np.isfinite(logits).all():
        raise ConfigError(f"temperature {sampler.temperature:g} is too small for these scores: the softmax overflows")
    race = WeightedDraws(logits, sampler.seed)
    counts = np.zeros(len(scores), np.int64)
    drawable = len(scores)
    done = number = 0
    while done < sampler.draws:
        rows = race.draw(min(sampler.batch, sampler.draws - done, drawable), number)
        counts[rows] += 1
        if sampler.max_repeats is None:
            penalised = scores[rows] - (sampler.penalty or 0.0) * counts[rows]
            race.change(rows, (penalised / sampler.temperature).astype(np.float32))
        else:
            full = rows[counts[rows] == sampler.max_repeats]
            race.change(full, np.full(len(full), -np.inf, np.float32))
            drawable -= len(full)
        done += len(rows)
        number += 1
        on_draws(len(rows))
    return counts


def _check_rows(rows: int, sampler: Sampler) -> None:
    if sampler.batch > rows:
        raise ConfigError(
            f"a batch of {sampler.batch:,} draws without replacement needs as many usable uids, and there are "
            f"{rows:,}: choose a --batch-size well below"
        )
    if sampler.max_repeats is not None and sampler.draws > sampler.max_repeats * rows:
        raise ConfigError(
            f"{rows:,} usable uids with max-repeats {sampler.max_repeats} give {sampler.max_repeats * rows:,} draws at "
            f"most, {sampler.draws:,} are wanted: raise --max-repeats or lower --draws"
        )

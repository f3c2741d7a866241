"""WinoGAViL: which of the candidate images go with a cue, by similarity alone.

KEY.json has `cue`, `candidates` (a name an image) and `associations` (those that go with it); KEY.0.jpg, KEY.1.jpg,
... are the images of the candidates in their order.
"""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from datascaler.evaluate.embed import embed_prompts, embed_samples, first_places
from datascaler.evaluate.evalset import EvalSample, EvalSet, Puzzle
from datascaler.evaluate.jaccard import jaccard, jaccard_metrics
from datascaler.evaluate.results import Outcome
from datascaler.models.loaded import LoadedClip


def associate(
    model: LoadedClip,
    evalset: EvalSet,
    *,
    batch_size: int,
    num_workers: int,
    advance: Callable[[int], object] = lambda puzzles: None,  # noqa: ARG005
) -> Outcome:
    """Choose as many candidates as go with each cue. A puzzle with an image that does not decode leaves."""
    puzzles: list[Puzzle] = []
    features: list[Tensor | None] = []
    for puzzle, images in _embedded(model, evalset, batch_size, num_workers):
        puzzles.append(puzzle)
        features.append(images)
        advance(1)
    good = [(puzzle, images) for puzzle, images in zip(puzzles, features, strict=True) if images is not None]
    cues = (
        iter(torch.cat(list(embed_prompts(model, [cue_prompt(puzzle.cue) for puzzle, _ in good]))))
        if good
        else iter(())
    )
    chosen = [
        None if images is None else choose(_scores(puzzle, images, next(cues)), sum(puzzle.goes))
        for puzzle, images in zip(puzzles, features, strict=True)
    ]
    found = [
        None if picks is None else sum(puzzle.goes[pick] for pick in picks)
        for puzzle, picks in zip(puzzles, chosen, strict=True)
    ]
    samples = pa.table(
        {
            "key": pa.array([puzzle.key for puzzle in puzzles], pa.string()),
            "candidates": pa.array([len(puzzle.goes) for puzzle in puzzles], pa.int32()),
            "associations": pa.array([sum(puzzle.goes) for puzzle in puzzles], pa.int32()),
            "prediction": pa.array(chosen, pa.list_(pa.int32())),
            "found": pa.array(found, pa.int32()),
        }
    )
    candidates, associations, hits = (
        np.array(
            [row for row, hit in zip(samples[name].to_pylist(), found, strict=True) if hit is not None], dtype=np.int64
        )
        for name in ("candidates", "associations", "found")
    )
    metrics = jaccard_metrics(candidates, jaccard(associations, hits))
    return Outcome(metrics, samples, images=len(good), bad_images=len(puzzles) - len(good))


def cue_prompt(cue: str) -> str:
    text = cue.lower()
    return f"{'An' if text[0] in 'aeiou' else 'A'} {text}"


def choose(scores: Tensor, number: int) -> list[int]:
    """The candidates of the highest scores; of equal ones the later."""
    return sorted(np.argsort(scores.cpu().numpy(), kind="stable")[-number:].tolist())


def _scores(puzzle: Puzzle, images: Tensor, cue: Tensor) -> Tensor:
    """The similarity of each candidate; one image that is there twice has the same."""
    same = first_places(puzzle.images)
    return (images @ cue)[same]


def _embedded(
    model: LoadedClip, evalset: EvalSet, batch_size: int, num_workers: int
) -> Iterator[tuple[Puzzle, Tensor | None]]:
    """Each puzzle with the vectors [candidates, d] of its images; None where one does not decode."""
    begun: deque[Puzzle] = deque()

    def images() -> Iterator[EvalSample]:
        for puzzle in evalset.puzzles():
            begun.append(puzzle)
            yield from (EvalSample(puzzle.key, image) for image in puzzle.images)

    rows: list[Tensor | None] = []
    for batch in embed_samples(model, images(), batch_size=batch_size, num_workers=num_workers):
        vectors = iter(batch.features)
        for is_good in batch.decoded:
            rows.append(next(vectors) if is_good else None)
            if len(rows) == len(begun[0].images):
                whole = [row for row in rows if row is not None]
                yield begun.popleft(), torch.stack(whole) if len(whole) == len(rows) else None
                rows = []

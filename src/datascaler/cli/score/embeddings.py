"""`datascaler score` from stored embeddings: its options, its spec, and the run."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import spec_option
from datascaler.cli.output import begin_work, note
from datascaler.spec.score_embeddings import KEEP_RULES, EmbeddingSpec

if TYPE_CHECKING:
    from datascaler.score.score_summary import ScoreSummary

_flag = partial(spec_option, EmbeddingSpec)

OPTIONS = (
    _flag("embeddings", metavar="SCORE_ID", help="Scores in --output-dir that --save-embeddings was given for."),
    _flag("temperature", help="negcliploss: of the softmax."),
    _flag("batch_rows", help="negcliploss: rows a batch."),
    _flag("rounds", help="negcliploss: batches to average over."),
    _flag("target", help="normsim, image_based: target image embeddings, a .npy, a .npz or a folder of these."),
    _flag("p", type=click.Choice(["2", "inf"]), help="normsim: the norm."),
    _flag("centroids", help="image_based: cluster centres of the pool, a .npy or .npz of [clusters, d]."),
    _flag("clusters", default="square root of the rows", help="dedup: number of clusters."),
    _flag("sample", default="256 a cluster, at most 1M", help="dedup: rows to fit clusters on."),
    _flag("eps", help="dedup: duplicates have a cosine above 1 - eps."),
    _flag(
        "keep",
        type=click.Choice(KEEP_RULES),
        help="dedup: what stays: farthest from (hard) or nearest to (easy) its centre, best score, first in the pool.",
    ),
    _flag("seed", help="Of what is drawn at random."),
)
OTHERS: tuple[str, ...] = ()
"""Options of theirs that say nothing of what is computed, and so are not in the spec."""


def spec_of(given: Mapping[str, Any]) -> EmbeddingSpec:
    if "embeddings" in given and "arch" in given:
        raise click.UsageError("--arch chooses among the embeddings that DataComp ships; --embeddings names its own")
    return EmbeddingSpec(**given)


def run(spec: EmbeddingSpec) -> "ScoreSummary":
    begin_work(spec)

    from datascaler.score.score_pool import score_pool

    return score_pool(spec, note)

"""`datascaler score` from stored embeddings: its options, and the run."""

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from datascaler.cli.options import COUNT
from datascaler.cli.output import note
from datascaler.spec.score_embeddings import KEEP_RULES, METHOD_OPTIONS, EmbeddingSpec

if TYPE_CHECKING:
    from datascaler.score.score_summary import ScoreSummary

OPTIONS = (
    click.option(
        "--embeddings", metavar="SCORE_ID", help="Scores in --output-dir that --save-embeddings was given for."
    ),
    click.option("--temperature", type=float, default=0.01, show_default=True, help="negcliploss: of the softmax."),
    click.option("--batch-rows", type=COUNT, default=32_768, show_default=True, help="negcliploss: rows a batch."),
    click.option("--rounds", type=COUNT, default=10, show_default=True, help="negcliploss: batches to average over."),
    click.option(
        "--target", help="normsim, image_based: target image embeddings, a .npy, a .npz or a folder of these."
    ),
    click.option("--p", type=click.Choice(["2", "inf"]), default="2", show_default=True, help="normsim: the norm."),
    click.option("--centroids", help="image_based: cluster centres of the pool, a .npy or .npz of [clusters, d]."),
    click.option("--clusters", type=COUNT, help="dedup: number of clusters.  [default: square root of the rows]"),
    click.option("--sample", type=COUNT, help="dedup: rows to fit clusters on.  [default: 256 a cluster, at most 1M]"),
    click.option(
        "--eps", type=float, default=0.05, show_default=True, help="dedup: duplicates have a cosine above 1 - eps."
    ),
    click.option(
        "--keep",
        type=click.Choice(KEEP_RULES),
        default="hard",
        show_default=True,
        help="dedup: what stays: farthest from (hard) or nearest to (easy) its centre, best score, first in the pool.",
    ),
    click.option("--seed", type=COUNT, default=0, show_default=True, help="Of what is drawn at random."),
)
NAMES = (
    *("from_metadata", "embeddings", "arch"),
    *dict.fromkeys(name for names in METHOD_OPTIONS.values() for name in names),
)
"""The options that these methods read."""


def run(common: dict[str, Any], **options: Any) -> "ScoreSummary":
    ctx = click.get_current_context()
    if options["embeddings"] and ctx.get_parameter_source("arch") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--arch chooses among the embeddings that DataComp ships; --embeddings names its own")
    spec = EmbeddingSpec(**{**common, "data_dir": common["data_dir"] or ""}, **options)

    from datascaler.score.embeddings.score_embeddings import score_embeddings

    return score_embeddings(spec, note)

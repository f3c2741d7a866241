"""`datascaler score` by captions and metadata: its options, and the run."""

from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import COUNT
from datascaler.cli.output import note
from datascaler.errors import ConfigError
from datascaler.spec.score_captions import METHOD_OPTIONS, CaptionSpec

if TYPE_CHECKING:
    from datascaler.score.score_summary import ScoreSummary

OPTIONS = (
    click.option(
        "--from-metadata", metavar="DIR", help="Folder of DataComp's metadata parquet files, in place of --data-dir."
    ),
    click.option(
        "--language-model", metavar="FILE", help="basic, english, text_based: fastText's lid.176.bin, or cld3."
    ),
    click.option("--no-language", is_flag=True, help="basic, text_based: captions of any language."),
    click.option("--min-words", type=COUNT, default=3, show_default=True, help="basic."),
    click.option("--min-chars", type=COUNT, default=6, show_default=True, help="basic."),
    click.option("--min-side", type=COUNT, default=200, show_default=True, help="basic: pixels, as downloaded."),
    click.option("--max-aspect", type=float, default=3.0, show_default=True, help="basic: longer by shorter side."),
    click.option("--words", metavar="FILE", help="text_based: the words to look for, one a line."),
    click.option("--wordnet", metavar="DIR", help="text_based: WordNet's dict folder, in place of --words."),
    click.option("--synsets", metavar="FILE", help="text_based: ImageNet-21k's synsets, one a line, for --wordnet."),
    click.option("--entries", metavar="FILE", help="metaclip: MetaCLIP's entries, one a line or a JSON list."),
    click.option(
        "--entry-limit", type=COUNT, default=20_000, show_default=True, help="metaclip: captions kept of an entry."
    ),
)
NAMES = ("from_metadata", *dict.fromkeys(name for names in METHOD_OPTIONS.values() for name in names))
"""The options that these methods read."""


def run(common: dict[str, Any], from_metadata: str | None, **options: Any) -> "ScoreSummary":
    try:
        spec = CaptionSpec(**{**common, "data_dir": common["data_dir"] or ""}, from_metadata=from_metadata, **options)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error

    from datascaler.score.captions.score_captions import score_captions

    return score_captions(spec, note)

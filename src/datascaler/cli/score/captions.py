"""`datascaler score` by captions and metadata: its options, its spec, and the run."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from datascaler.cli.options import spec_option
from datascaler.cli.output import note
from datascaler.spec.score_captions import CaptionSpec

if TYPE_CHECKING:
    from datascaler.score.score_summary import ScoreSummary

_flag = partial(spec_option, CaptionSpec)

OPTIONS = (
    _flag("from_metadata", metavar="DIR", help="Folder of DataComp's metadata parquet files, in place of --data-dir."),
    _flag("language_model", metavar="FILE", help="basic, english, text_based: fastText's lid.176.bin, or cld3."),
    _flag("no_language", is_flag=True, help="basic, text_based: captions of any language."),
    _flag("min_words", help="basic."),
    _flag("min_chars", help="basic."),
    _flag("min_side", help="basic: pixels, as downloaded."),
    _flag("max_aspect", help="basic: longer by shorter side."),
    _flag("words", metavar="FILE", help="text_based: the words to look for, one a line."),
    _flag("wordnet", metavar="DIR", help="text_based: WordNet's dict folder, in place of --words."),
    _flag("synsets", metavar="FILE", help="text_based: ImageNet-21k's synsets, one a line, for --wordnet."),
    _flag("entries", metavar="FILE", help="metaclip: MetaCLIP's entries, one a line or a JSON list."),
    _flag("entry_limit", help="metaclip: captions kept of an entry."),
)
OTHERS: tuple[str, ...] = ()
"""Options of theirs that say nothing of what is computed, and so are not in the spec."""


def spec_of(given: Mapping[str, Any]) -> CaptionSpec:
    return CaptionSpec(**given)


def run(spec: CaptionSpec) -> "ScoreSummary":
    from datascaler.score.score_pool import score_pool

    return score_pool(spec, note)

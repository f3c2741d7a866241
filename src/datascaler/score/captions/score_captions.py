"""Scoring by captions or by what DataComp's metadata has: load what the method needs, then one table a shard."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datascaler.data.pool.parquet import cast_column
from datascaler.data.pool.samples import NO_SCORE, OK
from datascaler.data.pool.shards import Shard
from datascaler.data.tables.datacomp_metadata import read_metadata, usable_columns
from datascaler.data.tables.score_table import footer_of
from datascaler.score.captions.basic import BasicRule, EnglishRule
from datascaler.score.captions.entries import Entries, read_entries
from datascaler.score.captions.entry_counts import pool_counts
from datascaler.score.captions.language import LanguageDetector, load_detector
from datascaler.score.captions.metaclip import MetaClipRule
from datascaler.score.captions.rows import with_status
from datascaler.score.captions.rule import CaptionRule, rule_table
from datascaler.score.captions.text_based import by_wordnet, by_words
from datascaler.score.score_id import settings_id
from datascaler.score.score_summary import ScoreSummary
from datascaler.score.worker_shards import all_shards, my_shards, score_shards
from datascaler.spec.score_captions import METADATA_METHODS, CaptionSpec


def score_captions(spec: CaptionSpec, say: Callable[[str], None] = lambda _: None) -> ScoreSummary:
    """Score this worker's shards. Finished ones are skipped, so the same command, run again, goes on.

    Raises ConfigError for an asset that is not what the method needs, and as `score_shards` does.
    """
    if spec.method in METADATA_METHODS:
        mine = my_shards(spec)
        score_id = spec.score_name or f"{spec.method}-{spec.arch}-metadata"
        model = {"b32": "ViT-B-32", "l14": "ViT-L-14"}[spec.arch]
        settings: dict[str, Any] = {"source": "metadata", "arch": spec.arch}
        table_of: Callable[[Shard], pa.Table] = partial(metadata_score_table, arch=spec.arch)
    else:
        # Its files first: where they can't be used, nothing is left that ties the folder to this pool.
        make_rule = _loaded_rule(spec, say)
        mine = my_shards(spec)
        rule = make_rule()
        settings, model = rule.settings, ""
        score_id = spec.score_name or f"{spec.method}-{settings_id(settings)}"
        table_of = partial(rule_table, rule)
    say(f"scoring {len(mine):,} shards as {score_id}")
    footer = partial(footer_of, score_id=score_id, method=spec.method, model=model, settings=settings)
    return score_shards(spec, mine, score_id, footer, table_of)


def _loaded_rule(spec: CaptionSpec, say: Callable[[str], None]) -> Callable[[], CaptionRule]:
    """What makes the rule, once the list of shards is frozen; the files that it needs are read."""
    if spec.method == "metaclip":
        return partial(_metaclip_rule, spec, read_entries(spec.entries or ""), say)
    rule = _rule(spec)
    return lambda: rule


def _metaclip_rule(spec: CaptionSpec, entries: Entries, say: Callable[[str], None]) -> CaptionRule:
    shards = all_shards(spec)
    say(f"counting {len(entries.numbers):,} entries in {len(shards):,} shards, where that is not done yet")
    counts = pool_counts(spec.output_dir, shards, entries, spec.shards_at_once, spec.index, spec.count)
    return MetaClipRule(entries, counts, spec.entry_limit, spec.seed)


def _rule(spec: CaptionSpec) -> CaptionRule:
    detector: LanguageDetector | None = load_detector(spec.language_model) if spec.language_model else None
    if spec.method == "basic":
        return BasicRule(
            detector=detector,
            min_words=spec.min_words,
            min_chars=spec.min_chars,
            min_side=spec.min_side,
            max_aspect=spec.max_aspect,
        )
    if spec.method == "text_based":
        if spec.words:
            return by_words(detector, spec.words)
        return by_wordnet(detector, spec.wordnet or "", spec.synsets or "")
    assert spec.method == "english", f"no rule for {spec.method}"
    assert detector is not None
    return EnglishRule(detector)


def metadata_score_table(shard: Shard, arch: str) -> pa.Table:
    """The scores of OpenAI's ViT-B/32 (b32) or ViT-L/14 (l14); a row without a finite one has a status of its own."""
    name = f"clip_{arch}_similarity_score"
    table = read_metadata(shard, [name])
    with usable_columns():
        scores = pc.fill_null(cast_column(table, name, pa.float32(), shard.url), float("nan")).to_numpy()
    good = np.isfinite(scores)
    places = table.drop_columns([name])
    ok = pc.equal(places["status"], OK).to_numpy()
    places = with_status(places, NO_SCORE, ok & ~good)
    return places.append_column("score", pa.array(np.where(ok & good, scores, np.float32("nan")), pa.float32()))

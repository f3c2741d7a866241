"""Signal and noise over seeds, against numpy on the same runs."""

import numpy as np
import pytest

from datascaler import storage
from datascaler.data.runs.run_folder import run_url, start_run
from datascaler.data.runs.seed_noise import configuration_of, seed_noise
from datascaler.spec.train import datacomp_recipe


def test_signal_and_noise_are_numpys() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        sizes = draw.integers(1, 5, size=draw.integers(2, 5))
        scores = [draw.random(size) for size in sizes]
        names = [f"{number}" for number, size in enumerate(sizes) for _ in range(size)]
        order = draw.permutation(len(names))
        flat = np.concatenate(scores)
        found = seed_noise([names[place] for place in order], [("average", flat[order].tolist())])
        if sizes.max() == 1:
            assert found == []
            continue
        (row,) = found
        freedom = sizes.sum() - len(sizes)
        noise = np.sqrt(sum(np.var(group) * len(group) for group in scores) / freedom)
        signal = np.ptp([group.mean() for group in scores])
        assert (row.runs, row.configurations) == (sizes.sum(), len(sizes))
        assert (row.noise, row.signal, row.ratio) == pytest.approx((noise, signal, signal / noise))


def test_rows_without_a_second_seed_or_configuration() -> None:
    names = ["a", "a", "b", None]
    rows: list[tuple[str, list[float | None]]] = [
        ("whole", [0.1, 0.3, 0.6, 0.9]),
        ("one seed", [0.1, None, 0.6, 0.9]),
        ("one", [0.1, 0.3, None, None]),
    ]
    whole, one = seed_noise(names, rows)
    assert (whole.name, whole.runs) == ("whole", 3)
    assert whole.ratio == pytest.approx(0.4 / (0.2 / np.sqrt(2)))
    assert (one.name, one.signal, one.ratio) == ("one", None, None)
    assert seed_noise(names, [("equal", [0.1, 0.1, 0.2, 0.0])])[0].ratio is None
    assert seed_noise(["a", "b", None, None], rows) == []


def test_a_configuration_is_all_of_a_run_but_its_seed(tmp_path_factory: pytest.TempPathFactory) -> None:
    def configuration(**changes: object) -> str | None:
        out = str(tmp_path_factory.mktemp("runs"))
        spec = datacomp_recipe("small", **{"data_dir": "pool", "output_dir": out, **changes})
        start_run(spec, {}, "")
        assert configuration_of(run_url(spec)) == configuration_of(storage.join(run_url(spec), "eval"))
        return configuration_of(run_url(spec))

    first = configuration()
    assert first is not None
    assert configuration(seed=7, num_workers=2) == first
    assert configuration(lr=2e-3) != first
    assert configuration_of(str(tmp_path_factory.mktemp("elsewhere"))) is None

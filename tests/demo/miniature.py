"""The demo at a size that takes seconds of training; as a program, `datascaler demo` at this size."""

from typing import Any

SIZE: dict[str, Any] = {
    "pool_samples": 200,
    "clean_samples": 100,
    "eval_per_class": 1,
    "samples_per_shard": 50,
    "batch_size": 32,
    "filter_steps": 3,
    "train_steps": 3,
    "warmup_steps": 1,
    "train_seeds": (0,),
}
"""Of a `Recipe`."""


def main() -> None:
    from datascaler import __main__ as command

    run = command._run

    def run_small() -> None:
        from functools import partial

        from datascaler.demo import make_data

        make_data.Recipe = partial(make_data.Recipe, **SIZE)  # type: ignore[assignment,misc]
        run()

    command._run = run_small
    command.main()


if __name__ == "__main__":
    main()

"""Names of runs and their handles."""

import pytest

from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.names import check_name, default_name, handle, split_handle
from datascaler.errors import ConfigError


def test_the_default_name_tells_the_verb_and_what_it_is_about() -> None:
    name = default_name("score", "clip", ["--data-dir", "s3://pool"])
    assert name.startswith("score-clip-")
    assert name == check_name(name)


def test_the_same_command_has_the_same_name_and_another_has_another() -> None:
    one = default_name("train", "small", ["--lr", "1e-3"])
    assert one == default_name("train", "small", ("--lr", "1e-3"))
    assert (
        len({one, default_name("train", "small", ["--lr", "2e-3"]), default_name("train", "small", ["--lr 1e-3"])}) == 3
    )


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (None, ""),
        ("", ""),
        ("T_MARS v2!", "t-mars-v2-"),
        ("--", ""),
        ("x" * 30, "x" * 20 + "-"),
        ("a-very-long-method--x", "a-very-long-method-"),
    ],
)
def test_whatever_it_is_about_the_name_is_valid(about: str | None, words: str) -> None:
    name = default_name("score", about, [])
    assert check_name(name).startswith(f"score-{words}")
    assert len(name) <= len("pipeline--retry99") + 30


@pytest.mark.parametrize("name", ["a", "a1", "run-7", "x" * 53])
def test_names_that_are_possible(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "1st", "-a", "a-", "A", "a_b", "a.b", "a/b", "a\n", "é"])
def test_names_that_are_not(name: str) -> None:
    with pytest.raises(ConfigError, match="begin with a letter, and use lower-case letters, digits and dashes only"):
        check_name(name)


def test_names_that_are_too_long_for_helm() -> None:
    with pytest.raises(ConfigError, match="has 54 characters; at most 53 are possible"):
        check_name("x" * 54)
    assert split_handle("ns/" + "x" * 53 + "-007") == ("ns", "x" * 53 + "-007")


@pytest.mark.parametrize(("text", "parts"), [("a", (None, "a")), ("ns/a", ("ns", "a")), ("/a", (None, "a"))])
def test_handles(text: str, parts: tuple[str | None, str]) -> None:
    assert split_handle(text) == parts


def test_a_handle_is_read_back() -> None:
    assert split_handle(handle("ns", "run")) == ("ns", "run")


@pytest.mark.parametrize("text", ["", "ns/", "a/b/c", "s3://bucket/run"])
def test_what_is_no_handle_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write NAMESPACE/NAME or NAME"):
        split_handle(text)


@pytest.mark.parametrize("text", ["../twin", "../..", "a..b/x", "A/x", "-a/x", f"{'a' * 64}/x", "a_b/x"])
def test_what_is_no_namespace_becomes_no_path(text: str) -> None:
    with pytest.raises(ConfigError, match=r"handle|namespace"):
        split_handle(text)
    assert path_of("Job", "..", "../x") == "/apis/batch/v1/namespaces/%2E%2E/jobs/..%2Fx"

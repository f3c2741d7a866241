"""YAML of other people's: plain data, or one line that says why not, in no time."""

import pytest
import yaml

from datascaler.errors import ConfigError
from datascaler.tools.plain_yaml import LONGEST_YAML, load_yaml
from tests.limits import within

LEVELS = range(1, 12)
ATTACKS = {
    "aliases of aliases": "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in LEVELS),
    "merges of merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}\n" for n in LEVELS),
    "a list in itself": "a: &a [*a]",
    "deep": "[" * 100_000,
    "deep and closed": "{a: " * 3000 + "1" + "}" * 3000,
    "too long": "a: " + "x" * LONGEST_YAML,
    "no date": "a: 2001-99-99",
    "a long number": "a: " + "9" * 5000,
    "a number of base 60": "a: " + "1:" * 20_000 + "1",
    "a list as a key": "[a]: 1\n? [b]\n: 2",
    "an object": "!!python/object/apply:os.system [true]",
    "two documents": "a: 1\n---\nb: 2",
    "a control character": "a: \x07",
    "an unknown alias": "a: *b",
    "a key twice": "a: 1\nb: 2\na: 1",
    "a key twice further down": "a:\n  - {b: {c: 1, d: 2, c: 3}}",
    "a key twice, once in quotes": "{a: 1, 'a': 2}",
}


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_it_is_refused(text: str) -> None:
    with within(), pytest.raises(ConfigError) as caught:
        load_yaml(text)
    assert "\n" not in str(caught.value)
    assert "\x07" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "a: 1\nb: [1, 2.5, yes, null, 2001-01-01, 1:30]",
        "base: &base {x: 1, y: [1, 2]}\nuse: {<<: *base, y: 3}\nalso: [*base, *base]",
        "{gpu: {count: 2}}",
        "{a: {k: 1}, b: {k: 2}, c: [{k: 3}, {k: 4}]}",
        "base: &base {x: 1}\nother: &other {y: 1}\nuse: {<<: *base, <<: *other}",
        "1: a\n'1': b",
        "text: |\n  two\n  lines\n",
    ],
)
def test_plain_data_is_what_pyyaml_makes_of_it(text: str) -> None:
    assert load_yaml(text) == yaml.safe_load(text)


def test_signs_that_others_write_without_quotes_are_texts() -> None:
    assert load_yaml("a: =\nb: <<\nc: [=, <<]") == {"a": "=", "b": "<<", "c": ["=", "<<"]}


def test_a_key_that_comes_again_is_named_with_both_lines() -> None:
    with pytest.raises(ConfigError, match=r"^the key 'gpu' of line 2 comes again in line 4$"):
        load_yaml("# values\ngpu: 1\nimage: x\ngpu: 2\n")

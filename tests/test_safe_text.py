"""What may be shown: no planted secret and no control character gets through, and ordinary texts stay as they are."""

import io
import json
import pickle
import random
import string
import sys

import pytest

from datascaler import safe_text
from datascaler.cli.output import print_result
from datascaler.errors import ConfigError
from datascaler.output_streams import guard_output
from datascaler.safe_text import has_userinfo, printable, redacted, safe_message, shown, without_secrets
from tests.limits import within

SECRET = "s3cr3t/KEY+of=40letters"
TOKEN = "hf_" + "A1b2C3d4" * 4
HIDING_PLACES = [
    f"s3://AKIA123:{SECRET}@bucket/pool/00000.tar: not found",
    f"https://name:{SECRET}@host:8080/pool",
    "https://s3cr3t@host/pool",
    f"'ftp://me:{SECRET}@host/a'",
    "https://b.s3.amazonaws.com/a.tar?X-Amz-Algorithm=AWS4&X-Amz-Credential=s3cr3tid&X-Amz-Signature=s3cr3t0123",
    "url: /a.tar?X-Amz-Security-Token=s3cr3t%2F%3D&X-Amz-Date=20260101 (Caused by ...)",
    "https://storage.googleapis.com/b/o?X-Goog-Signature=s3cr3t&x=1",
    "https://acct.blob.core.windows.net/c/b?sv=2020&sig=s3cr3t%3D&se=2026",
    "https://host/x?a=1&access_token=s3cr3t",
    "https://host/x?AWSAccessKeyId=s3cr3t&Signature=s3cr3t&Expires=1",
    "https%3A%2F%2Fhost%2Fx%3FX-Amz-Signature%3Ds3cr3t%26a%3D1",
    "Authorization: Bearer s3cr3t-0123456789",
    "{'Authorization': 'Basic s3cr3tOnBhc3N3b3Jk'}",
    f"no access with {TOKEN.replace('A1b2', 's3cr3t')}",
    "https://d111.cloudfront.net/a?Policy=s3cr3t&Signature=s3cr3t&Key-Pair-Id=K",
]
ORDINARY = [
    "s3://bucket/pool/{00000..00012}.tar::s3://other/pool",
    "http://host:8080/pool/00000.tar: not found",
    "abfs://container@account.dfs.core.windows.net/pool",
    "hf://datasets/org/name@main/00000.tar",
    "max_tokens=77, tokens: 49406, ratio 1:2, a@b.org",
    "https://host/x?page=2&size=10#top",
    "local-dir:/weights/dfn",
    "next: datascaler subset --method basic --score-name basic-english",
    "日本語 café 😀",
]


@pytest.mark.parametrize("text", HIDING_PLACES)
def test_no_secret_is_shown(text: str) -> None:
    assert "s3cr3t" not in redacted(text)
    assert safe_text.SECRET_MARK in redacted(text)
    assert "s3cr3t" not in str(ConfigError(text))
    assert "s3cr3t" not in repr(pickle.loads(pickle.dumps(ConfigError("a", text))))
    assert "s3cr3t" not in json.dumps(without_secrets({"a": [{text: text}]}))


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_stay(text: str) -> None:
    assert safe_message(text) == text
    assert not has_userinfo(text)


def test_the_values_of_secret_variables_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalr/bPxRfi+CY")
    monkeypatch.setenv("SOME_TOKEN", "short")
    assert redacted("sent wJalr/bPxRfi+CY, short") == "sent ***, short"


def test_control_characters_are_shown_as_what_they_are() -> None:
    name = "\x1b]0;owned\x07\x1b[2J\r\n\t\x9b31m\u202egnp.exe\u2028\udc80\x7f\0"
    assert printable(name) == r"\x1b]0;owned\x07\x1b[2J\r\n\t\x9b31m\u202egnp.exe\u2028\udc80\x7f\x00"
    generator = random.Random(0)
    for _ in range(300):
        text = "".join(
            chr(generator.choice([generator.randrange(0x3000), generator.randrange(0x110000)])) for _ in range(20)
        )
        line = printable(text)
        line.encode("utf-8")
        assert not any(
            ord(letter) < 32 or 127 <= ord(letter) < 160 or 0x202A <= ord(letter) <= 0x202E for letter in line
        )
        assert printable(line) == line


def test_errors_are_lines_of_their_own_making() -> None:
    error = ConfigError("pool/\nevil\x1b[31m.tar is damaged", "first", "second\nthird")
    assert str(error).split("\n") == ["pool/\\nevil\\x1b[31m.tar is damaged", "  first", "  second\\nthird"]
    assert len(str(ConfigError("x" * 10_000_000))) < 100_000


def test_values_of_files_are_shown_by_what_they_are() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a value of type list"
    assert shown("a\n" * 1000) == repr("a\n" * 20) + "..."
    assert shown(10**5000) == "a value of type int"
    assert [shown(value) for value in (None, True, 7, 0.5, b"ab")] == ["None", "True", "7", "0.5", "b'ab'"]


def test_results_are_printed_safely(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"bad": ["\x1b[2J.tar", HIDING_PLACES[0]], "by_name": {"a\nb": 1}}
    print_result(result, as_json=False)
    print_result(result, as_json=True)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "s3cr3t" not in said
    assert len(said.splitlines()) == 3


def test_streams_are_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    guard_output()
    guard_output()
    sys.stdout.write(f"a\tb\r\n {HIDING_PLACES[0]} \x1b[31m\n")
    sys.stderr.writelines(["x\x07\n", "y\n"])
    try:
        raise KeyError(HIDING_PLACES[1])
    except KeyError:
        sys.excepthook(*sys.exc_info())
    assert out.getvalue().startswith("a\tb\r\n s3://***@bucket")
    assert out.getvalue().endswith("\\x1b[31m\n")
    assert err.getvalue().startswith("x\\x07\ny\nTraceback")
    assert "s3cr3t" not in err.getvalue()


@pytest.mark.parametrize(
    "unit", ["://a:b", "http://", "?sig=", "-----BEGIN PRIVATE KEY-----", "bearer ", "eyJ", "%26", "hf_", "\x1b"]
)
def test_a_hostile_text_takes_no_time(unit: str) -> None:
    generator = random.Random(0)
    tail = "".join(generator.choices(string.ascii_letters, k=100))
    with within(seconds=4):
        redacted(unit * (500_000 // len(unit)) + tail)

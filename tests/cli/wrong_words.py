"""Command lines and surroundings that are wrong as people have them: slips in addresses, odd names, old variables."""

import random
from collections.abc import Sequence
from pathlib import Path

VERBS = (
    *("pool check", "pool index", "pool make", "pool make-evalset", "score", "train", "sweep", "eval", "eval compare"),
    *("export", "subset", "subset show", "subset convert", "subset combine", "subset sample", "subset baseline"),
    *("subset materialize", "runs", "status", "report", "forecast"),
)
"""Those that work on files; each reads from wherever it is told."""
_ENDPOINTS = ("localhost:9000", "http://", "http://127.0.0.1:1", "://x", "http://[::1", "http://127.0.0.1:99999", "x y")
_ENVIRONMENT = {
    "AWS_ENDPOINT_URL": _ENDPOINTS,
    "AWS_PROFILE": ("nobody", ""),
    "AWS_CONFIG_FILE": ("/nowhere", "/dev/null", "/"),
    "AWS_DEFAULT_REGION": ("", "x y", "Europe"),
    "AWS_CA_BUNDLE": ("/nowhere", "/dev/null"),
    "AWS_MAX_ATTEMPTS": ("many", "-1"),
    "HTTPS_PROXY": ("nonsense", "http://127.0.0.1:1"),
    "HOME": ("/nowhere", ""),
    "LANG": ("C", "xx_YY.UTF-8"),
}
_URLS = (
    *("s3://", "s3:///x", "s3://b", "s3://b/a b", "s3://BAD_bucket/x", "s3:/b/x", "s3://b/\udcff", "S3://b/x"),
    *(
        "http://",
        "http://127.0.0.1:1/x",
        "https://[bad",
        "http://127.0.0.1:99999/x",
        "http:/x",
        "file://",
        "file:///no",
    ),
    *("nobody://a/b", "gs://b/x", "hf://datasets/a/b", "abfs://c/x", "zip://a.zip::b", "ssh://h/x", "memory://nothing"),
    *(
        "",
        " ",
        "::",
        "~nobody/x",
        "/dev/null",
        "/dev/null/x",
        "/nowhere",
        "a\0b",
        "a" * 5000,
        "/\udcff\udcfe",
        "*",
        "[",
    ),
    *("{a,b", "{0..9", "s3://b/{00..99999999}.tar", "-", "=", "%s", "\n", "\x1b[31m", "..", "."),
)


def wrong_environment(draw: random.Random) -> dict[str, str]:
    names = draw.sample(sorted(_ENVIRONMENT), draw.randint(0, 3))
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "secretsecret", "AWS_EC2_METADATA_DISABLED": "true"}
    # Nothing is to go out: what is not set here points to a port where nobody listens.
    safe = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "HF_HUB_OFFLINE": "1"}
    return keys | safe | {name: draw.choice(_ENVIRONMENT[name]) for name in names}


def wrong_words(verb: str, draw: random.Random, folder: Path, urls: Sequence[str] = _URLS) -> list[str]:
    """A command that reads from nowhere that is: from one of the URLs."""

    def url() -> str:
        return draw.choice(urls)

    out = draw.choice([str(folder / "out"), "s3://b/out", "", "a\0b", "/dev/null/x", "nobody://a"])
    more = {
        "pool check": ["--data-dir", url()],
        "pool index": ["--data-dir", url(), "--output-dir", out],
        "pool make": ["--images-dir", url(), "--captions", url(), "--output-dir", out],
        "score": ["--data-dir", url(), "--output-dir", out, "--method", "basic", "--no-language"],
        "subset": ["--output-dir", url(), "--score-name", draw.choice(["s", "", "..", "\udcff"]), "--fraction", "0.3"],
        "subset show": [url()],
        "subset convert": [url(), f"{out}.txt"],
        "subset combine": [draw.choice(["and", "or", "minus", "xor"]), url(), url(), "--output", out],
        "subset sample": ["--output-dir", url(), "--method", "clip", "--sampler", "scs", "--draws", "8"],
        "subset baseline": ["basic", "--from-metadata", url(), "--output-dir", out],
        "subset materialize": [url(), "--data-dir", url(), "--output-dir", out],
        "pool make-evalset": ["--images-dir", url(), "--output-dir", out],
        "train": ["--data-dir", url(), "--output-dir", out, "--scale", draw.choice(["debug", "small", "huge", ""])],
        "sweep": [
            "--data-dir",
            url(),
            "--output-dir",
            out,
            "--scale",
            "debug",
            "--lrs",
            draw.choice(["1e-3", "", "x"]),
        ],
        "eval": ["--data-dir", url(), draw.choice(["--train-dir", "--pretrained", "--model"]), url()],
        "eval compare": [url(), url()],
        "export": [url()],
        "status": [url()],
        "runs": [url()],
        "report": [url(), "--output", draw.choice([str(folder / "page.html"), out])],
        "forecast": [url()],
    }
    return [*verb.split(), *more[verb]]

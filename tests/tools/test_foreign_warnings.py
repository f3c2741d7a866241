"""Each foreign warning of the table, brought about by what brings it about, and what becomes of it."""

import io
import logging
import re
import struct
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import open_clip
import pytest
import torch
from PIL import Image

from datascaler.data.pool.images import decode_rgb
from datascaler.errors import ConfigError, ImageDecodeError
from datascaler.models.arch import register_configs
from datascaler.models.load import load_clip
from datascaler.models.tokenize import tokenizer_for
from datascaler.tools.foreign_warnings import WRONG_RESULTS, WrongResult, heard, refuse_wrong_results
from tests.natural import encoded, natural_picture
from tests.tiny_clip import save_local_dir, tiny_clip_model

ARCH = "ViT-Micro-12-48"
Act = Callable[[Path, pytest.MonkeyPatch], object]


def no_weights(folder: Path) -> str:
    name = save_local_dir(str(folder / "tiny"))
    (folder / "tiny" / "open_clip_model.safetensors").unlink()
    return name


def quick_gelu_mismatch(folder: Path, patch: pytest.MonkeyPatch) -> object:
    torch.save(open_clip.create_model(ARCH).state_dict(), folder / "w.pt")
    tag = {"quick_gelu": True, "file": str(folder / "w.pt")}
    patch.setitem(open_clip.pretrained._PRETRAINED, ARCH, {"own": tag})
    return open_clip.create_model(ARCH, pretrained="own")


def several_weights(folder: Path, _: pytest.MonkeyPatch) -> object:
    name = no_weights(folder)
    for each in ("a.bin", "b.bin"):
        torch.save(tiny_clip_model().state_dict(), folder / "tiny" / each)
    return open_clip.create_model(name)


def one_tower(folder: Path, _: pytest.MonkeyPatch) -> object:
    torch.save(open_clip.create_model(ARCH).visual.state_dict(), folder / "tower.pt")
    return open_clip.create_model(ARCH, pretrained_image_path=f"{folder}/tower.pt")


def broken_tower(folder: Path, _: pytest.MonkeyPatch) -> object:
    (folder / "tower.pt").write_bytes(b"not weights")
    return open_clip.create_model(ARCH, pretrained_image_path=f"{folder}/tower.pt")


def hub_without_weights(folder: Path, patch: pytest.MonkeyPatch) -> object:
    save_local_dir(str(folder / "tiny"))

    def download(*_: object, filename: str | None = None, **__: object) -> str:
        if filename != "open_clip_config.json":
            raise FileNotFoundError(str(filename))
        return str(folder / "tiny" / filename)

    patch.setattr(open_clip.factory, "download_pretrained_from_hf", download)
    return open_clip.create_model("hf-hub:some/model")


def hub_without_config(_: Path, patch: pytest.MonkeyPatch) -> object:
    def nowhere(*_: object, **__: object) -> str:
        raise FileNotFoundError("no network")

    patch.setattr(open_clip.factory, "download_pretrained_from_hf", nowhere)
    patch.setattr(open_clip.factory, "HFTokenizer", lambda *_, **__: open_clip.SimpleTokenizer())
    return open_clip.get_tokenizer("hf-hub:some/model")


def language_of_a_tokenizer(*_: object) -> object:
    # What it needs of a Hugging Face tokenizer, which is not installed here: one without languages.
    return open_clip.tokenizer.HFTokenizer.set_language(SimpleNamespace(tokenizer=object()), "en")


def meta_weights(*_: object) -> object:
    with torch.device("meta"):
        empty = torch.nn.Linear(2, 2)
    return empty.load_state_dict(torch.nn.Linear(2, 2).state_dict())


def twice_in_an_optimizer(*_: object) -> object:
    parameter = torch.nn.Parameter(torch.zeros(1))
    return torch.optim.AdamW([{"params": [parameter, parameter]}])


def palette_to_rgb(*_: object) -> object:
    image = Image.new("P", (2, 2))
    image.info["transparency"] = b"\x00\xff"
    return image.convert("RGB")


def crowded_palette(*_: object) -> object:
    image = Image.frombytes("RGB", (16, 16), bytes(value for each in range(256) for value in (each, 0, 255 - each)))
    image.info["transparency"] = (1, 2, 3)
    return image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)


def icon_of_another_size(*_: object) -> bytes:
    """A directory that says 16 x 16 and a picture of 32 x 32."""
    content = encoded(natural_picture(32, 32, seed=0), "PNG")
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(content), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + content


def tiff_with_a_tag_beyond_its_end(*_: object) -> bytes:
    """The directory's last entry becomes one of a million numbers that the file doesn't hold."""
    file = io.BytesIO()
    natural_picture(8, 8, seed=0).save(file, "TIFF")
    content = bytearray(file.getvalue())
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    struct.pack_into("<HHII", content, directory + 2 + 12 * (count - 1), 60_000, 4, 1_000_000, 8)
    return bytes(content)


PROVOKED: dict[str, Act] = {
    "QuickGELU mismatch": quick_gelu_mismatch,
    "No pretrained weights loaded": lambda *_: open_clip.create_model(ARCH),
    "Model .* initialized partially": one_tower,
    "Local config loaded, but no CLIP weights": lambda folder, _: open_clip.create_model(no_weights(folder)),
    "Could not find/download default weights": hub_without_weights,
    "Multiple checkpoints found": several_weights,
    "Ignoring `pretrained=": lambda folder, _: open_clip.create_model(save_local_dir(str(folder)), "openai"),
    "Error loading (image|text) tower weights": broken_tower,
    "Invalid file path specified for pretrained_": lambda *_: open_clip.create_model(ARCH, pretrained_text_path="no"),
    "Could not load config from hf-hub": hub_without_config,
    "Model configuration not found": lambda *_: open_clip.get_tokenizer("no such model"),
    "Cannot set language for the tokenizer": language_of_a_tokenizer,
    "for .*: copying from a non-meta parameter": meta_weights,
    "In .* autocast, but the target dtype is not": lambda *_: torch.autocast("cpu", torch.float64),
    ".*cuda is not available.*disabling": lambda *_: torch.autocast("cuda", torch.float16),
    "optimizer contains a parameter group with dup": twice_in_an_optimizer,
    "Image was not the expected size": lambda *_: Image.open(io.BytesIO(icon_of_another_size())).load(),
    "Palette images with Transparency expressed": palette_to_rgb,
    "Couldn't allocate palette entry": crowded_palette,
    "Tag data larger than file|Tag offset too large|Possibly corrupt EXIF data": lambda *_: Image.open(
        io.BytesIO(tiff_with_a_tag_beyond_its_end())
    ).load(),
}


@pytest.mark.parametrize("why", WRONG_RESULTS, ids=lambda why: f"{why.library}: {why.pattern}")
def test_each_is_brought_about_and_heard(why: WrongResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_configs()
    if why.pattern == ".*cuda is not available.*disabling" and torch.cuda.is_available():
        monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: True)
    before, handlers = list(warnings.filters), list(logging.getLogger().handlers)
    with heard() as found:
        PROVOKED[why.pattern](tmp_path, monkeypatch)
    assert why in [each for _, each in found], found
    assert (list(warnings.filters), logging.getLogger().handlers) == (before, handlers)
    again = tmp_path / "again"
    again.mkdir()
    message = re.escape(f"here: {found[0][1].meaning} ({found[0][1].library}: ")
    with pytest.raises(ConfigError, match=message), refuse_wrong_results("here"):
        PROVOKED[why.pattern](again, monkeypatch)


def test_the_table_has_no_other_rows() -> None:
    assert [each.pattern for each in WRONG_RESULTS] == list(PROVOKED)


def test_what_loads_models_refuses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = save_local_dir(str(tmp_path / "tiny"))
    weights = (tmp_path / "tiny" / "open_clip_model.safetensors").read_bytes()
    (tmp_path / "tiny" / "open_clip_model.safetensors").unlink()
    for each in ("first.safetensors", "second.safetensors"):
        (tmp_path / "tiny" / each).write_bytes(weights)
    with pytest.raises(ConfigError, match=r"cannot load local-dir:.*: nothing says which of its files counts, first"):
        load_clip(name, None)
    with pytest.raises(ConfigError, match=r"no tokenizer for no such model: the tokenizer may be of another model"):
        tokenizer_for("no such model")
    monkeypatch.setattr(open_clip.factory, "HFTokenizer", lambda *_, **__: open_clip.SimpleTokenizer())
    monkeypatch.setattr(open_clip.factory, "_get_hf_config", lambda *_, **__: {})
    with pytest.raises(ConfigError, match=r"no tokenizer for hf-hub:some/model: the tokenizer may be of another model"):
        tokenizer_for("hf-hub:some/model")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (icon_of_another_size, "not an image format that Pillow knows"),  # of those that pools hold
        (tiff_with_a_tag_beyond_its_end, "a tag that describes the picture"),
    ],
)
def test_pictures_that_are_not_as_they_say_are_counted_rows(make: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(ImageDecodeError, match=reason):
        decode_rgb(make())


def test_transparency_is_never_lost() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    file = io.BytesIO()
    image.save(file, "PNG", transparency=b"\x00\xff")
    decoded = decode_rgb(file.getvalue())
    assert [decoded.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (0, 0, 255)]


def test_other_threads_and_other_messages_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    def other() -> None:
        logging.getLogger().warning("No pretrained weights loaded for model 'theirs'.")

    with heard() as found:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        logging.getLogger().warning("something else")
        with pytest.warns(UserWarning, match="not of the table"):
            warnings.warn("not of the table", stacklevel=1)
        with heard() as inner:
            logging.getLogger().warning("No pretrained weights loaded for model 'ours'.")
        assert [message for message, _ in inner] == ["No pretrained weights loaded for model 'ours'."]
    assert found == []
    assert [record.getMessage() for record in caplog.records] == [
        "No pretrained weights loaded for model 'theirs'.",
        "something else",
    ]


def test_webdatasets_handlers_that_go_on_are_not_used() -> None:
    source = Path(__file__).parents[2] / "src"
    for file in source.rglob("*.py"):
        if file.name != "foreign_warnings.py":
            assert not re.search("(warn|ignore)_and_(continue|stop)", file.read_text()), file

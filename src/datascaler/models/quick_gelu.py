"""Which activation weights were trained with, and the open_clip config that has it.

open_clip's table of pretrained tags says so for each tag, but what is built follows the architecture's name, and where
the two differ it only warns.
"""

from collections.abc import Mapping
from typing import Any

from datascaler.errors import ConfigError
from datascaler.models.open_clip_parts import factory

SUFFIX = "-quickgelu"


def has_quick_gelu(config: str) -> bool:
    return bool(factory.get_model_config(config).get("quick_gelu", False))


def quick_gelu_config(arch: str) -> str | None:
    """The config that is `arch` with QuickGELU, if there is one."""
    if has_quick_gelu(arch):
        return arch
    return arch + SUFFIX if arch + SUFFIX in factory.list_models() else None


def config_of_tag(arch: str, tag: str, settings: Mapping[str, Any]) -> str:
    """The config that the weights of a tag were trained with; `settings` is the tag's row of open_clip's table.

    Raises ConfigError where `arch` has another activation and open_clip has no config that differs in that alone.
    """
    wanted = bool(settings.get("quick_gelu", False))
    if wanted == has_quick_gelu(arch):
        return arch
    config = quick_gelu_config(arch) if wanted else None
    if config is not None:
        return config
    names = {True: "QuickGELU", False: "GELU"}
    hub = "/".join(settings.get("hf_hub", "").split("/")[:2])
    remedy = f"give --model hf-hub:{hub}, whose own config says what it is" if hub else "take another tag"
    raise ConfigError(
        f"the weights {tag} of {arch} were trained with {names[wanted]} and open_clip's {arch} has "
        f"{names[not wanted]}; {remedy}"
    )

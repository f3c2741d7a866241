"""YAML as plain data, in time and memory that its size bounds: a few lines of aliases may stand for terabytes."""

import re
from typing import Any

import yaml

from datascaler.errors import ConfigError
from datascaler.safe_text import printable, shown

LONGEST_YAML = 128 << 10
"""Letters. DataComp's list of 40 tasks has 11,000."""
MOST_YAML_VALUES = 100_000
"""Values, each alias counted as all that it stands for."""


_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_LONGEST_NUMBER = 100
_BRACKETS = re.compile(r"[\[\]{}]")
_DEEPEST = 100


class _Loader(yaml.SafeLoader):
    """YAML's other readers and writers have these signs for texts where PyYAML has no value for them."""


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


for _tag in ("value", "merge"):  # `=`, and `<<` where it is no key
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _text)


def load_yaml(text: str) -> Any:
    """The dicts, lists, texts and numbers of a document. Raises ConfigError, with the reason only, for what is
    none or is too large.
    """
    if len(text) > LONGEST_YAML:
        raise ConfigError(f"it has {len(text):,} letters, more than {LONGEST_YAML:,}")
    _refuse_deep(text)
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _refuse_large(root)
        _refuse_repeated_keys(root)
        return loader.construct_document(root)
    except ConfigError:
        raise
    except RecursionError as error:
        raise ConfigError("it is nested too deep") from error
    except yaml.YAMLError as error:
        raise ConfigError(" ".join(printable(line) for line in str(error).splitlines())) from error
    # PyYAML lets those of Python's own constructors through: of dates, long numbers, and keys that are no texts.
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError) as error:
        raise ConfigError(f"a value in it is none ({printable(str(error))})") from error


def _refuse_deep(text: str) -> None:
    """Refuse many open brackets: PyYAML comes back to each of them a thousand times."""
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth = max(0, depth + (1 if bracket[0] in "[{" else -1))
        if depth > _DEEPEST:
            raise ConfigError("it is nested too deep")


def _refuse_large(root: yaml.Node) -> None:
    """Counts before anything is made of the aliases."""
    counts: dict[int, int] = {}
    open_: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting[-1]
        parts = _parts(node)
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
            raise ConfigError(f"a number in it has {len(node.value):,} digits")
        if id(node) not in counts and id(node) not in open_:
            open_.add(id(node))
            for part in parts:
                if id(part) in open_:
                    raise ConfigError("an alias in it stands for what it is in")
                if id(part) not in counts:
                    waiting.append(part)
            if waiting[-1] is not node:
                continue
        waiting.pop()
        if id(node) in open_:
            open_.remove(id(node))
            counts[id(node)] = 1 + sum(counts[id(part)] for part in parts)
            if counts[id(node)] > MOST_YAML_VALUES:
                raise ConfigError(f"its aliases stand for more than {MOST_YAML_VALUES:,} values")


def _refuse_repeated_keys(root: yaml.Node) -> None:
    """PyYAML takes the last of them, and says nothing of the others."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting += _parts(node)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise ConfigError(f"the key {shown(key.value)} of line {lines[name]} comes again in line {line}")
            lines[name] = line


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []

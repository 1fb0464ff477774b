"""YAML as octoDNS writes it: lists and tables of text. Pure.

Nothing is taken for a number or a date, so that an address stays what it is; only an empty value or null is none. Tags
are refused, as they ask for other types or other files; so are keys that are there twice, tables that contain
themselves, and aliases that unfold to more than can be handled.
"""

from collections.abc import Hashable
from typing import Any

import yaml

from steering.imports.source import SourceError

MOST_NODES = 1_000_000
"""Of a document, with all its aliases unfolded."""

_KEPT = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")


def read_yaml(content: bytes, path: str) -> object:
    """The document in a file; raises SourceError."""
    try:
        loader = _Loader(content)
        node = loader.get_single_node()
        if node is None:
            return None
        if _count_nodes(node, {}) > MOST_NODES:
            raise SourceError(f"{path}: its aliases unfold to more than {MOST_NODES} values")
        return loader.construct_document(node)
    except (yaml.YAMLError, UnicodeError) as error:
        raise SourceError(f"{path}: not YAML as octoDNS has it: {' '.join(str(error).split())}") from None
    except (RecursionError, ValueError) as error:
        raise SourceError(f"{path}: not YAML as octoDNS has it: {error}") from None


class _Loader(yaml.SafeLoader):
    """The safe loader with nothing but text, null, lists and tables."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A table with text as keys, each once; a merged one (<<) gives what is not there."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != _KEPT[1]]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} is there twice", node.start_mark)
        self.flatten_mapping(node)
        made: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "expected text as a key", key.start_mark)
            made[key.value] = self.construct_object(value, deep=deep)
        return made


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("null", "str", "seq", "map")
}


def _count_nodes(node: yaml.Node, counts: dict[int, int]) -> int:
    """How many values a node unfolds to; UnicodeError for text that nobody can write, ValueError for a loop."""
    if isinstance(node, yaml.ScalarNode):
        node.value.encode()
        return 1
    if id(node) not in counts:
        counts[id(node)] = -1
        below = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        counts[id(node)] = 1 + sum(_count_nodes(each, counts) for each in below)
    if counts[id(node)] < 0:
        raise ValueError("something contains itself")
    return counts[id(node)]

"""The numbers of the synthetic county, read from `parameters.yaml`.

Put here: the reader. Put in `parameters.yaml`: every number, share, name list and code list.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).parent / "parameters.yaml"


class Node(dict):
    """A mapping whose keys read as attributes; a missing key is named together with its place in the file."""

    def __init__(self, body: dict, place: str = "") -> None:
        super().__init__({k: _wrap(v, f"{place}.{k}".lstrip(".")) for k, v in body.items()})
        self.__dict__["_place"] = place

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __missing__(self, key: object) -> Any:
        raise KeyError(f"{PATH.name}: no {key!r} under {self.__dict__['_place'] or 'the top level'}")


def _wrap(value: Any, place: str) -> Any:
    return Node(value, place) if isinstance(value, dict) else value


@lru_cache
def load_parameters(path: Path = PATH) -> Node:
    """The parameter file as nested records. Raises KeyError naming the place when a key that is read is missing."""
    with path.open(encoding="utf-8") as f:
        return Node(yaml.load(f, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))

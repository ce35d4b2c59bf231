"""A prompt as segments, so that each backend renders it its own way, without parsing text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from celloquy.text._vocabulary import Vocabulary

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Text:
    """Words of a template: never cut."""

    text: str
    role: Role = "user"


@dataclass(frozen=True, eq=False)
class Names:
    """Genes of a cell, most expressed first: what a token budget may cut from the end."""

    ids: NDArray[np.int32]
    """Positions in the vocabulary; shape ``(n,)``."""
    vocabulary: Vocabulary
    """The genes that `ids` points into."""
    values: NDArray[np.float32] | None = None
    """Expression of each gene, if known; shape ``(n,)``."""
    delimiter: str = " "
    """What stands between two names."""
    last_delimiter: str | None = None
    """What stands before the last name, if other than `delimiter`."""
    may_cut: bool = True
    """Whether a token budget may leave out names at the end."""
    role: Role = "user"


@dataclass(frozen=True)
class Field:
    """A value from the user's metadata: data, never an instruction, never cut."""

    text: str
    role: Role = "user"


Segment = Text | Names | Field
Prompt = tuple[Segment, ...]

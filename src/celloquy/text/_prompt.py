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


@dataclass(frozen=True)
class Counted(Text):
    """Words that depend on how many genes the prompt names, such as "Top gene is"."""

    forms: tuple[str, str, str] | None = None
    """What is said of no gene, of one, and of more; `None` says the number itself."""

    @staticmethod
    def of(
        n_genes: int, forms: tuple[str, str, str] | None = None, *, role: Role = "user"
    ) -> Counted:
        """Say it for `n_genes` genes.

        Examples
        --------
        >>> Counted.of(1, ("none", "one gene", "genes")).text, Counted.of(30).text
        ('one gene', '30')
        """
        text = str(n_genes) if forms is None else forms[min(n_genes, 2)]
        return Counted(text, role, forms)


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

    @property
    def text(self) -> str:
        """The names, joined."""
        names = [self.vocabulary.names[gene] for gene in self.ids]
        if self.last_delimiter is None or len(names) < 2:
            return self.delimiter.join(names)
        return f"{self.delimiter.join(names[:-1])}{self.last_delimiter}{names[-1]}"


@dataclass(frozen=True)
class Field:
    """A value from the user's metadata: data, never an instruction, never cut."""

    text: str
    role: Role = "user"
    is_bare: bool = False
    """Whether it stands without quotation marks, as a checkpoint of another project learnt it."""


Segment = Text | Names | Field
Prompt = tuple[Segment, ...]


def plain_text(prompt: Prompt) -> str:
    """Render a prompt as one text, without marks of who says what.

    Examples
    --------
    >>> plain_text((Text("tissue: "), Field("lung")))
    'tissue: lung'
    """
    return "".join(segment.text for segment in prompt)

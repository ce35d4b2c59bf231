"""Styles: how a ranked cell and its obs values become words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from celloquy._runtime import Registry
from celloquy.errors import InputError
from celloquy.text._fields import field_texts, one_line, require_columns
from celloquy.text._prompt import Counted, Field, Names, Prompt, Segment, Text
from celloquy.text._template import Gap, parse_template
from celloquy.text._vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.text._ranked import RankedCells

Forms = tuple[str, str, str]
"""What is said of a cell with no gene, with one, and with more."""
Part = str | Forms | Gap
"""Words, words that depend on the number of genes, or a gap."""


def _always(words: str) -> Forms:
    return (words, words, words)


@dataclass(frozen=True)
class FeatureForm:
    """How obs features are written: ``column`` + `between` + ``value`` + `after`."""

    between: str
    after: str
    separator: str
    """Between two features."""
    joint: str
    """Between the features and the genes."""
    may_stand_last: bool = False
    """Whether the features may follow the genes."""


@dataclass(frozen=True)
class Style:
    """How a ranked cell becomes words.

    Raises
    ------
    InputError
        If `features_last` is asked of a style whose features stand first, or in no place,
        or a delimiter is empty.
    """

    name: str
    lead: Forms = ("", "", "")
    """What stands before the genes."""
    tail: Forms = ("", "", "")
    """What stands after the genes."""
    delimiter: str = " "
    """What stands between two names."""
    last_delimiter: str | None = None
    """What stands before the last name, if other than `delimiter`."""
    upper_case: bool = False
    """Whether names are written in capitals."""
    quote_names: bool = False
    """Whether a name that holds the delimiter is written in JSON's double quotes."""
    features: FeatureForm | None = None
    """How obs features are written; `None` has no place for them."""
    features_last: bool = False
    """Whether obs features follow the genes, as CELLama has it (the default is first)."""
    template: str | None = None
    """A user's own text with gaps, instead of `lead`, `tail` and `features`."""

    def __post_init__(self) -> None:
        if "" in {self.delimiter, self.last_delimiter}:
            msg = f"Style {self.name!r} puts nothing between two names."
            raise InputError(msg, hint="give a delimiter, such as a space.")
        if self.features_last and not (self.features and self.features.may_stand_last):
            msg = f"Style {self.name!r} cannot write obs features after the genes."
            raise InputError(msg, hint="leave out `features_last`, or take the style 'cellama'.")

    def layout(self, obs_features: Sequence[str] = ()) -> tuple[Part, ...]:
        """Give the words and gaps of one cell, in order.

        Raises
        ------
        InputError
            If the style has no place for `obs_features`.
        """
        if self.template is not None:
            parts: tuple[Part, ...] = parse_template(self.template)
        else:
            parts = (self.lead, Gap("genes"), self.tail)
        if not obs_features:
            return parts
        form = self.features
        if form is None:
            msg = f"Style {self.name!r} has no place for obs features ({', '.join(obs_features)})."
            hint = "take the style 'celloquy' or 'cellama', or write `{obs:COLUMN}` in a template."
            raise InputError(msg, hint=hint)
        features: list[Part] = []
        for i, column in enumerate(obs_features):
            words = form.separator * (i > 0) + one_line(column) + form.between
            features += [words, Gap("obs", column), form.after]
        joint = ("", form.joint, form.joint)
        if self.features_last:
            return (*parts, joint, *features)
        return (*features, joint, *parts)

    def columns(self, obs_features: Sequence[str] = ()) -> tuple[str, ...]:
        """Columns of obs that the style reads, each once."""
        gaps = [part for part in self.layout(obs_features) if isinstance(part, Gap)]
        return tuple(dict.fromkeys(gap.column for gap in gaps if gap.kind == "obs"))

    def speak(self, vocabulary: Vocabulary) -> Vocabulary:
        """Give the vocabulary as this style writes it: same positions, names as written.

        Raises
        ------
        InputError
            If two names become one in capitals, or a name cannot be told apart in a text.
        """
        names = vocabulary.names
        if self.upper_case:
            names = tuple(name.upper() for name in names)
            _refuse_merged(names, vocabulary.names, self.name)
        if self.quote_names:
            names = tuple(self._quoted(name) for name in names)
        for name in () if self._all_fit(names) else names:
            if not self._fits(name):
                msg = f"Gene name {name!r} cannot be told apart in a text of style {self.name!r}."
                hint = "leave the gene out, rename it, or take the style with `quote_names=True`."
                raise InputError(msg, hint=hint)
        return vocabulary if names == vocabulary.names else Vocabulary(names, vocabulary.ids)

    def _all_fit(self, names: Sequence[str]) -> bool:
        """Say at one look at all letters whether every name fits; False means: look closer.

        No name has a space or a letter of the delimiter, and what the last delimiter ends with
        has a letter that no name has: then no delimiter begins, ends or stands inside a name.
        """
        joined = "".join(names)
        letters = set(joined)
        if " " in letters or not joined.isprintable() or not all(names):
            return False
        last = self.last_delimiter
        is_last_apart = last is None or bool(set(last[len(self.delimiter) :]) - letters)
        return is_last_apart and letters.isdisjoint(self.delimiter)

    def _fits(self, name: str) -> bool:
        """Say whether the name can be cut out of joined names again."""
        delimiter, last = self.delimiter, self.last_delimiter
        if self.quote_names and name.startswith('"'):
            return True
        if not name.isprintable() or name != name.strip():
            return False
        if last is not None and (last in name or (delimiter + name).startswith(last)):
            return False
        if not delimiter.strip() and any(letter.isspace() for letter in name):
            return False
        between = delimiter + name + delimiter
        return between.count(delimiter) == 2 and between.find(delimiter, 1) == len(delimiter + name)

    def _quoted(self, name: str) -> str:
        fits = replace(self, quote_names=False)._fits(name)
        return name if fits and not name.startswith('"') else json.dumps(name)

    def prompts(
        self,
        ranked: RankedCells,
        *,
        obs: pd.DataFrame | None = None,
        obs_features: Sequence[str] = (),
    ) -> list[Prompt]:
        """Write every cell as a prompt: words, genes (which a budget may cut) and fields.

        Parameters
        ----------
        ranked
            Cells, shape ``(n_obs,)``.
        obs
            The cells' obs rows, in the same order; needed where the style reads columns.
        obs_features
            Columns of `obs` to write beside the genes.

        Raises
        ------
        InputError
            If a column is missing, or a gene name cannot be told apart in this style.
        """
        columns = self.columns(obs_features)
        fields = fields_of(obs, columns, ranked.n_obs)
        spoken = replace(ranked, vocabulary=self.speak(ranked.vocabulary))
        layout = self.layout(obs_features)
        return [
            self._prompt(
                spoken,
                cell,
                layout=layout,
                fields={c: fields[c][1][fields[c][0][cell]] for c in columns},
            )
            for cell in range(ranked.n_obs)
        ]

    def _prompt(
        self,
        ranked: RankedCells,
        cell: int,
        *,
        layout: tuple[Part, ...],
        fields: dict[str, str],
    ) -> Prompt:
        here = slice(ranked.offsets[cell], ranked.offsets[cell + 1])
        genes = ranked.genes[here]
        segments: list[Segment] = []
        for part in layout:
            if isinstance(part, str):
                segments.append(Text(part))
            elif isinstance(part, tuple):
                fixed = part[0] == part[1] == part[2]
                segments.append(Text(part[0]) if fixed else Counted.of(len(genes), part))
            elif part.kind == "genes":
                marks = (self.delimiter, self.last_delimiter)
                segments.append(Names(genes, ranked.vocabulary, ranked.values[here], *marks))
            elif part.kind == "n_genes":
                segments.append(Counted.of(len(genes)))
            else:
                segments.append(Field(fields[part.column]))
        return tuple(segment for segment in segments if segment != Text(""))

    def names_of(self, text: str, *, obs_features: Sequence[str] = ()) -> list[str]:
        """Read the gene names back from a text of this style, as the style writes them.

        Raises
        ------
        InputError
            If the text does not have the form of the style.
        """
        layout = self.layout(obs_features)
        for n_genes in (2, 1, 0):
            match = re.fullmatch("".join(_pattern(part, n_genes) for part in layout), text)
            if match is not None:
                return self._split(match["genes"])
        msg = f"This text does not have the form of style {self.name!r}: {text[:60]!r}."
        raise InputError(msg, hint="name the style and `obs_features` that it was written with.")

    def _split(self, genes: str) -> list[str]:
        """Cut joined names apart; `speak` has made sure that this has one answer."""
        marks = [mark for mark in (self.last_delimiter, self.delimiter) if mark is not None]
        quoted = json.JSONDecoder()
        names, at = [], 0
        while at < len(genes):
            if self.quote_names and genes[at] == '"':
                name, at = quoted.raw_decode(genes, at)
            else:
                ends = [genes.find(mark, at) for mark in marks]
                end = min((end for end in ends if end >= 0), default=len(genes))
                name, at = genes[at:end], end
            names.append(name)
            at += next((len(mark) for mark in marks if genes.startswith(mark, at)), 0)
        return names


def _pattern(part: Part, n_genes: int) -> str:
    if isinstance(part, str):
        return re.escape(part)
    if isinstance(part, tuple):
        return re.escape(part[n_genes])
    if part.kind == "genes":
        return "(?P<genes>.*?)" if n_genes else "(?P<genes>)"
    return r"\d+" if part.kind == "n_genes" else ".*"


def _refuse_merged(spoken: tuple[str, ...], names: tuple[str, ...], style: str) -> None:
    first: dict[str, str] = {}
    for new, old in zip(spoken, names, strict=True):
        other = first.setdefault(new, old)
        if other != old:
            msg = (
                f"Genes {other!r} and {old!r} are both {new!r} in the capitals of style {style!r}."
            )
            raise InputError(msg, hint="pass `collisions='sum'`, or take a style without capitals.")


def fields_of(
    obs: pd.DataFrame | None, columns: Sequence[str], n_obs: int
) -> dict[str, tuple[NDArray[np.int64], list[str]]]:
    """Write the named columns of obs as words: for each, a code a cell and the words.

    Raises
    ------
    InputError
        If `obs` lacks a column or has another number of rows.
    """
    if not columns:
        return {}
    require_columns(columns, () if obs is None else obs.columns)
    if obs is None or len(obs) != n_obs:
        msg = f"`obs` has {0 if obs is None else len(obs)} rows for {n_obs} cells."
        raise InputError(msg, hint="pass the obs rows of these cells, in their order.")
    return {column: field_texts(obs[column]) for column in columns}


CELLOQUY = Style(
    "celloquy", features=FeatureForm(between=": ", after="", separator="; ", joint="; genes: ")
)
CELL2SENTENCE = Style("cell2sentence", upper_case=True)
CELLAMA = Style(
    "cellama",
    lead=("", "Top gene is ", "Top genes are "),
    tail=("", ".", "."),
    delimiter=", ",
    last_delimiter=", and ",
    features=FeatureForm(" of this cell is ", ".", " ", " ", may_stand_last=True),
)
CELLHERMES = Style("cellhermes", lead=_always("A cell with genes ranked by expression: "))
CHATCELL = Style("chatcell", upper_case=True)

STYLES = Registry[Style](
    "style",
    {
        "celloquy": "celloquy.text._styles:CELLOQUY",
        "cell2sentence": "celloquy.text._styles:CELL2SENTENCE",
        "cellama": "celloquy.text._styles:CELLAMA",
        "cellhermes": "celloquy.text._styles:CELLHERMES",
        "chatcell": "celloquy.text._styles:CHATCELL",
    },
)
"""The styles by name."""


def get_style(style: str | Style, *, features_last: bool = False) -> Style:
    """Find a style by its name, or make one of a template.

    Parameters
    ----------
    style
        A name in :data:`STYLES`, a text that holds ``{genes}``, or a style (given back).
    features_last
        Whether obs features follow the genes.

    Raises
    ------
    InputError
        If there is no such style, or the template cannot be used.

    Examples
    --------
    >>> get_style("cellama").delimiter
    ', '
    >>> get_style("The genes of this {obs:tissue} cell: {genes}").columns()
    ('tissue',)
    """
    if isinstance(style, Style):
        return replace(style, features_last=True) if features_last else style
    if "{" in style:
        parse_template(style)
        return Style("template", template=style, features_last=features_last)
    return replace(STYLES[style], features_last=features_last)

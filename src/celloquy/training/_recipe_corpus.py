"""What a corpus is told: which files, which tasks, how they are split and varied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.training._recipe import RecipePart, checked, read_toml

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

GUIDE = "docs/guides/corpus.md"
PARTS = ("train", "validation", "test")
"""The parts of a corpus, in order."""
Share = Annotated[float, Field(ge=0, lt=1)]
Above = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class SourcePart(RecipePart):
    """Cells of one file."""

    path: str
    """Any file of cells that :func:`celloquy.io.open_stream` reads, or a folder of
    Cell2Sentence's; from the recipe's own folder on."""
    study: str = ""
    """The study that the cells are of; files that share cells share a study. Empty takes the
    file's name."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Column of obs for each word that tasks use, such as ``cell_type = "bulk_labels"``."""
    values: dict[str, str] = Field(default_factory=dict)
    """Words that are the same for all cells, such as ``organism = "human"``."""
    leave_out: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Values of a word whose cells are left out, such as ``cell_type = ["unassigned"]``."""
    control: dict[str, str] = Field(default_factory=dict)
    """What the word of a perturbation says of control cells, such as ``drug = "DMSO"``."""
    match: tuple[str, ...] = ()
    """Words in which a control cell agrees with the perturbed cell that it is paired with."""
    layer: str | None = None
    """Layer to rank by; without it, X."""
    use_raw: bool = False
    """Whether `raw` is ranked."""
    gene_column: str | None = None
    """Column of var with the gene names; without it, `var_names`."""
    to: Literal["keep", "symbol", "ensembl"] = "keep"
    """Names as they are, approved symbols, or Ensembl ids."""
    collisions: Literal["refuse", "sum", "keep"] = "refuse"
    """What happens when several columns come to one name; with `medians`, have the same one."""
    protein_coding_only: bool = False
    """Whether only genes that code for proteins are named."""

    @model_validator(mode="after")
    def _no_word_twice(self) -> SourcePart:
        twice = sorted(set(self.columns) & set(self.values))
        if twice:
            msg = f"{twice[0]!r} stands in `columns` and in `values`"
            raise ValueError(msg)
        known = {*self.columns, *self.values}
        for key in (*self.leave_out, *self.control, *self.match):
            if key not in known:
                msg = f"{key!r} is no word of `columns`{closest(key, known)}"
                raise ValueError(msg)
        return self


class TablePart(RecipePart):
    """Examples of one task in a table: a CSV or TSV file, or gene sets (GMT)."""

    path: str
    """The file, from the recipe's own folder on."""
    task: str
    """The task that its rows are examples of."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Column for each input of the task and for its answer. A GMT file has ``name``,
    ``description`` and ``genes``."""
    values: dict[str, str] = Field(default_factory=dict)
    """Inputs, or the answer, that are the same for all rows."""
    study: str = ""
    """What the table is of; empty takes the file's name."""


class GraphPart(RecipePart):
    """Edges between genes: a CSV or TSV file."""

    path: str
    """The file, from the recipe's own folder on."""
    columns: tuple[str, str] | None = None
    """Columns of the two genes; without it, the first two."""
    study: str = ""
    """What the network is; empty takes the file's name."""
    values: dict[str, str] = Field(default_factory=dict)
    """Words that are the same for all edges, such as ``organism = "human"``."""
    n_neighbours: Count = 20
    """The most neighbours that a prompt names."""


class TaskPart(RecipePart):
    """A task, and how much of the corpus it makes."""

    name: str
    """A task of the registry, or a YAML file, from the recipe's own folder on."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Its examples are in proportion to this."""
    n_cells: Count = 5
    """Cells of one example, where a task is about several."""
    genes_each: Count = 50
    """The most genes of each of these cells."""
    masked: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the genes that are masked."""
    n_next: Count = 20
    """The most genes that are to be continued with."""
    n_labels: Annotated[int, Field(ge=2)] = 20
    """The most labels that a prompt offers for choice."""
    label: str = "cell_type"
    """The word that labels are of, where the task's answer does not say it."""
    balance: Literal["none", "label"] = "none"
    """``"label"``: a training cell is drawn with probability proportional to one over the square
    root of how many cells of its source have its label, so that rare labels and small sources are
    seen. Needs `n_train`."""


class SplitPart(RecipePart):
    """Who learns and who judges."""

    by: str = "study"
    """What is never on both sides: ``"study"``, a word of the sources' columns (``"donor"``,
    ``"drug"`` …), or ``"cell"``, which is optimistic for any new donor."""
    validation: float | tuple[str, ...] = 0.0
    """A share of the cells, or names of groups."""
    test: float | tuple[str, ...] = 0.0
    """A share of the cells, or names of groups."""
    genes: Literal["gene", "pair"] = "gene"
    """How graphs and tables are split: no gene, or no pair of a gene and what it is asked with, on
    both sides."""
    leaks: Literal["refuse", "report"] = "refuse"
    """What becomes of a split whose parts share cells."""

    @model_validator(mode="after")
    def _fits(self) -> SplitPart:
        told = list(self.held.values())
        if len({isinstance(one, tuple) for one in told}) > 1:
            msg = "`validation` and `test` are both shares of the cells, or both names of groups"
            raise ValueError(msg)
        shares = [one for one in told if not isinstance(one, tuple)]
        if shares and not (min(shares) > 0 and sum(shares) < 1):
            msg = f"`validation` and `test` are shares that leave some to train on, not {shares}"
            raise ValueError(msg)
        return self

    @property
    def held(self) -> dict[str, float | tuple[str, ...]]:
        """The parts that are not trained on."""
        pairs = (("validation", self.validation), ("test", self.test))
        return {part: asked for part, asked in pairs if asked}

    @property
    def gene_shares(self) -> dict[str, float]:
        """Shares of genes or pairs by part; a tenth where cells are held out by name."""
        held = {part: 0.1 if isinstance(one, tuple) else one for part, one in self.held.items()}
        return {PARTS[0]: 1.0 - sum(held.values()), **held}


class AugmentPart(RecipePart):
    """How training examples vary; validation and test are left as they are."""

    paraphrases: bool = True
    """Whether each example takes one of its task's templates by chance; else the first."""
    gene_dropout: Share = 0.0
    """Share of the genes of a training cell that are left out by chance."""
    n_genes: tuple[Count, Count] | None = None
    """Fewest and most genes of a training sentence; without it, always `n_top_genes`."""
    panels: Share = 0.0
    """Share of training cells that are seen through a panel of genes."""
    panel_genes: tuple[Count, Count] = (500, 5_000)
    """Fewest and most genes of a panel."""
    n_panels: Count = 64
    """Different panels."""
    depth: tuple[Above, Above] | None = None
    """Lowest and highest share of its molecules that a thinned training cell keeps, drawn evenly
    on a logarithmic scale, such as ``[0.2, 1.0]``. Needs counts."""
    depth_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the training cells that are thinned."""
    noise: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of a normal number that is added to the logarithm of what genes are
    ranked by, in every other training cell."""

    @property
    def values_vary(self) -> bool:
        """Whether the values of cells vary before they are ranked."""
        return self.depth is not None or self.noise > 0

    @model_validator(mode="after")
    def _ranges(self) -> AugmentPart:
        for name in ("n_genes", "panel_genes", "depth"):
            given = getattr(self, name)
            if given is not None and given[0] > given[1]:
                ends = "lowest to the highest" if name == "depth" else "fewest to the most"
                msg = f"`{name}` goes from the {ends}, not {list(given)}"
                raise ValueError(msg)
        return self


class CorpusRecipe(RecipePart):
    """A whole corpus; every key has its place, and unknown ones are refused."""

    source: tuple[SourcePart, ...] = ()
    table: tuple[TablePart, ...] = ()
    graph: tuple[GraphPart, ...] = ()
    task: Annotated[tuple[TaskPart, ...], Field(min_length=1)]
    split: SplitPart = SplitPart()
    augment: AugmentPart = AugmentPart()
    seed: int = 0
    """Seed of everything random."""
    n_train: Count | None = None
    """Training examples of all tasks; without it, as many as the weights allow without using a
    cell twice for one task."""
    n_held_out: Count = 2_000
    """The most validation examples, and the most test examples."""
    n_top_genes: Count = 200
    """The most genes of one cell: what the token budget of training must hold."""
    min_genes: Count = 10
    """Cells with fewer genes, after what is left out by chance, make no example."""
    rank_by: Literal["value", "specificity"] = "value"
    """Rank genes by expression, or by expression over the gene's median, which `medians` tells."""
    medians: str | None = None
    """The genes that a model shall know: a TSV file with the columns ``symbol``, ``median`` and,
    where known, ``ensembl`` and ``mouse``; from the recipe's own folder on. Genes of every source
    are mapped to its symbols, and summed where different names are those of one; others are left
    out and counted."""
    mixed_organisms: bool = False
    """Whether cells of several organisms may stand in one corpus; with `medians` they may."""
    shard_size: Count = 50_000
    """Examples of one file."""

    @model_validator(mode="after")
    def _has_input(self) -> CorpusRecipe:
        if not (self.source or self.table or self.graph):
            msg = "there is no [[corpus.source]], no [[corpus.table]] and no [[corpus.graph]]"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _ranks(self) -> CorpusRecipe:
        if self.rank_by == "specificity" and self.medians is None:
            msg = '`rank_by = "specificity"` needs `medians`, a table of genes'
            raise ValueError(msg)
        for one in self.source:
            if self.medians is not None and "to" in one.model_fields_set:
                msg = f"`to` of '{one.path}' has no say: `medians` tells names"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _balances(self) -> CorpusRecipe:
        asked = [one.name for one in self.task if one.balance != "none"]
        if asked and self.n_train is None:
            msg = f'`balance = "label"` of {asked[0]!r} draws some cells again, so `n_train` is '
            msg += "needed"
            raise ValueError(msg)
        return self


OTHER_TABLES = (
    "preset", "objective", "model", "data", "adapter", "optimiser", "evaluation", "checkpoint",
    "run", "pairs", "reward",
)  # fmt: skip
"""What a recipe may hold besides, for ``celloquy train``."""


def read_corpus_recipe(path: str | os.PathLike[str]) -> CorpusRecipe:
    """Read the ``[corpus]`` part of a recipe; the other parts are those of training.

    Parameters
    ----------
    path
        A TOML file. Paths in it are taken from its own folder.

    Raises
    ------
    InputError
        If it is no TOML, a key is unknown or missing, or a value cannot be; the closest key is
        told.
    """
    path = Path(path)
    said = read_toml(path)
    for key in said:
        known = ("corpus", *OTHER_TABLES)
        if key not in known:
            msg = f"{path}: it has no table [{key}]{closest(key, known)}."
            raise InputError(msg, hint=f"a corpus is told in [corpus]; see {GUIDE}.")
    if "corpus" not in said:
        msg = f"{path}: it needs the table [corpus], which is missing."
        raise InputError(msg, hint=f"see {GUIDE}.")
    recipe = make_corpus_recipe(said["corpus"], where=str(path))
    return _from_folder(recipe, path.parent)


def make_corpus_recipe(said: Any, *, where: str = "The recipe") -> CorpusRecipe:  # noqa: ANN401
    """Make the recipe of a corpus of plain values.

    Parameters
    ----------
    said
        The keys of ``[corpus]``.
    where
        What it is called in messages.

    Raises
    ------
    InputError
        If a key is unknown or missing, or a value cannot be.
    """
    return checked(said, CorpusRecipe, where=where, guide=GUIDE, under="corpus")


def without_folders(recipe: CorpusRecipe) -> CorpusRecipe:
    """Give a recipe with the names of files alone: where they lay is no part of a corpus.

    Parameters
    ----------
    recipe
        The recipe.
    """
    return _replaced(recipe, lambda path: Path(path).name)


def _from_folder(recipe: CorpusRecipe, folder: Path) -> CorpusRecipe:
    """Take paths from the recipe's folder."""
    return _replaced(recipe, lambda path: str((folder / Path(path).expanduser()).resolve()))


def _replaced(recipe: CorpusRecipe, placed: Callable[[str], str]) -> CorpusRecipe:
    update: dict[str, Any] = {
        key: tuple(
            one.model_copy(update={"path": placed(one.path)}) for one in getattr(recipe, key)
        )
        for key in ("source", "table", "graph")
    }
    update["task"] = tuple(
        one.model_copy(update={"name": placed(one.name)}) if _is_file(one.name) else one
        for one in recipe.task
    )
    if recipe.medians is not None:
        update["medians"] = placed(recipe.medians)
    return recipe.model_copy(update=update)


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))

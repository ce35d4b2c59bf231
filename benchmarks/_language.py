"""What the benchmarks of language models share: gene names, a tokenizer, a model, measured pairs.

The tokenizer is a byte-level BPE of 50,257 tokens, the size of GPT-2's, trained on the English
text and code of the installed Python packages and on a few sentences of genes, so that it needs
about 4.3 tokens a gene, as tokenizers of general text do. The model has the shape of GPT-2 small
and random weights: speed does not depend on what they are.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
import time
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from celloquy._runtime._devices import processor
from celloquy.text import Names, Prompt, Text, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

N_GENES = 36_000
VOCABULARY_SIZE = 50_257
END = "<|endoftext|>"
STEMS = (
    "CD", "IL", "RPL", "RPS", "HLA-D", "MT-N", "KRT", "ZNF", "SLC", "TMEM", "FAM", "COL", "ADAM",
    "PTPN", "S100A", "IGHV", "TRAV", "CXCL", "CCR", "GPR", "OR", "MIR", "SNOR", "POTE", "NKG",
    "MYO", "DNAH", "PCDHB", "USP", "WDR",
)  # fmt: skip
_TEXT_BYTES = 12_000_000
N_SENTENCES = 1
"""Of genes, in what the tokenizer learns from; with 20, a gene would take 3.9 tokens."""


def gene_names(n: int = N_GENES) -> tuple[str, ...]:
    """Make names of the kinds that human genes have: families, words, clones, LINC.

    The shares of clones (AC012345.6) and LINC are those of the 33,538 genes of a human 10x
    reference.
    """
    rng = np.random.default_rng(0)
    letters = list("ABCDEFGHIKLMNPRSTVX")
    made: dict[str, None] = {}
    while len(made) < n:
        kind = rng.choice(4, p=[0.33, 0.32, 0.3, 0.05])
        if kind == 0:
            stem, number = STEMS[rng.integers(len(STEMS))], rng.integers(1, 999)
            name = f"{stem}{number}{rng.choice(['', '', '', 'A', 'B', 'L1'])}"
        elif kind == 1:
            name = "".join(rng.choice(letters, rng.integers(3, 6))) + str(rng.integers(1, 30))
        elif kind == 2:
            name = f"A{rng.choice(list('CLP'))}{rng.integers(0, 999_999):06d}.{rng.integers(1, 9)}"
        else:
            name = f"LINC{rng.integers(1, 3_000):05d}"
        made[name] = None
    return tuple(made)


def sentences(names: tuple[str, ...], n: int, *, n_genes: int = 100) -> list[str]:
    """Draw sentences of different genes."""
    rng = np.random.default_rng(1)
    return [" ".join(names[i] for i in rng.permutation(len(names))[:n_genes]) for _ in range(n)]


def cell_prompt(genes: np.ndarray, vocabulary: Vocabulary) -> Prompt:
    """Write a cell from its genes, most expressed first."""
    named = Names(genes.astype(np.int32), vocabulary)
    return (Text("A cell with genes ranked by expression: "), named)


def drawn_cells(
    vocabulary: Vocabulary, n: int, *, seed: int = 0, n_genes: int = 200
) -> list[Prompt]:
    """Draw cells of different genes."""
    rng = np.random.default_rng(seed)
    drawn = (rng.permutation(len(vocabulary))[:n_genes] for _ in range(n))
    return [cell_prompt(genes, vocabulary) for genes in drawn]


def texts() -> Iterator[str]:
    """Read text and code of the installed packages, in a fixed order."""
    read = 0
    folders = (sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"))
    for pattern in ("*.dist-info/METADATA", "*/*.py", "*.py"):
        for folder in folders:
            for path in sorted(Path(folder).glob(pattern)):
                if read > _TEXT_BYTES:
                    return
                text = path.read_text(encoding="utf-8", errors="ignore")
                read += len(text)
                yield text


def make_tokenizer(names: tuple[str, ...]) -> Tokenizer:
    """Train the tokenizer, or read what an earlier benchmark of this machine trained."""
    told = repr((names, _TEXT_BYTES, N_SENTENCES)).encode()
    path = Path(tempfile.gettempdir()) / f"celloquy-bpe-{sha256(told).hexdigest()[:12]}.json"
    if path.is_file():
        return Tokenizer.from_file(str(path))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[AddedToken(END, special=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts(), *sentences(names, N_SENTENCES)], trainer)
    tokenizer.save(str(path))
    return tokenizer


def gpt2_small(n_tokens: int = VOCABULARY_SIZE, *, bf16: bool = False, n_layers: int = 12) -> Any:
    """Make a network of GPT-2 small's shape with random weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=n_tokens, n_layer=n_layers, bos_token_id=0, eos_token_id=0)
        model = GPT2LMHeadModel(config).eval().requires_grad_(requires_grad=False)
    return model.to(torch.bfloat16) if bf16 else model


def loaded(model: Any, tokenizer: Tokenizer, *, precision: str = "fp32") -> Any:
    """Write a model and load it as a user does."""
    from transformers import PreTrainedTokenizerFast

    from celloquy.lm import load_lm

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token=END, model_max_length=1_024
        ).save_pretrained(folder)
        return load_lm(f"hf:{folder}", device="cpu", precision=precision)


def machine() -> str:
    """Say on what this runs, and how busy it is."""
    import torch

    cpu = processor()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    return (
        f"{cpu.name}, {cpu.n_cores} cores, {torch.get_num_threads()} threads, "
        f"avx512_bf16 {cpu.has_avx512_bf16}, amx_bf16 {cpu.has_amx_bf16}; {packages}; "
        f"load {os.getloadavg()[0]:.1f}"
    )


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def time_in_turn(works: dict[str, Callable[[int], Any]], n_pairs: int) -> dict[str, np.ndarray]:
    """Time works one after the other, again and again, every other time in the opposite order.

    Parameters
    ----------
    works
        By name; each is given the number of the round, from 0. A round -1 warms up.
    n_pairs
        Rounds.

    Returns
    -------
    Wall and processor seconds of each, shape ``(n_pairs, 2)``.
    """
    for work in works.values():
        work(-1)
    seconds = {name: np.empty((n_pairs, 2)) for name in works}
    for number in range(n_pairs):
        for name in list(works) if number % 2 else list(works)[::-1]:
            wall, cpu = time.perf_counter(), time.process_time()
            works[name](number)
            seconds[name][number] = time.perf_counter() - wall, time.process_time() - cpu
            told = f"round {number + 1}, {name}: {seconds[name][number].round(2)}"
            print(told, file=sys.stderr, flush=True)
    return seconds


def memory_above(work: Callable[[], Any]) -> float:
    """Peak memory above what was held before, in MB (Linux; else NaN)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        before = _status("VmRSS")
        work()
        return (_status("VmHWM") - before) / 1e3
    except OSError:
        return float("nan")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1])


def interval(ratios: np.ndarray) -> str:
    """Write the median of ratios, with the middle 90 % of 10,000 bootstrap draws."""
    drawn = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.05, 0.95])
    return f"{np.median(ratios):.2f} ({low:.2f} to {high:.2f})"

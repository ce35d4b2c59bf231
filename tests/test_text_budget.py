"""Token budgets: never exceeded, genes cut only from the end, and all of it counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from celloquy.errors import InputError
from celloquy.text._budget import fit_cells, pack
from celloquy.text._prompt import Counted, Field, Names, Text, plain_text
from celloquy.text._ranked import RankedCells
from celloquy.text._render import render_text
from celloquy.text._styles import get_style
from celloquy.text._vocabulary import Vocabulary

NAMES = tuple(f"{stem}{i}" for stem in ("CD", "HLA-D", "MT-") for i in range(20))
VOCABULARY = Vocabulary(NAMES)
RNG = np.random.default_rng(1)


def letters(text: str) -> list[int]:
    """Take every letter as a token, with a token before and after the text."""
    return [0, *map(ord, text), 1]


def bytes_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(NAMES)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return tokenizer


BYTES = bytes_tokenizer()
COUNT = {"letters": lambda text: len(letters(text)), "bytes": lambda text: len(BYTES.encode(text))}
TOKENIZERS = {"letters": letters, "bytes": BYTES}


def ranked_of(lengths) -> RankedCells:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    genes = np.concatenate([np.empty(0, int), *(RNG.permutation(60)[:n] for n in lengths)])
    values = np.ones(len(genes), np.float32)
    cut = np.zeros(len(lengths), np.int32)
    return RankedCells(genes.astype(np.int32), offsets, values, cut, VOCABULARY)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5),
    st.integers(40, 200),
    st.sampled_from(["celloquy", "cellama", "{n_genes} in {obs:tissue}: {genes}."]),
    st.sampled_from([*TOKENIZERS]),
)
def test_a_budget_is_never_exceeded_and_one_more_gene_would_not_fit(lengths, limit, style, kind):
    ranked = ranked_of(lengths)
    obs = pd.DataFrame({"tissue": ["lung"] * len(lengths)})
    options = {"style": style, "obs": obs}
    kept = fit_cells(ranked, TOKENIZERS[kind], limit=limit, **options)
    packed = pack(get_style(style).prompts(ranked, obs=obs), TOKENIZERS[kind], limit=limit)
    assert [plain_text(prompt) for prompt in packed.prompts] == (
        texts := render_text(kept, **options).to_pylist()
    )
    assert [COUNT[kind](text) for text in texts] == packed.n_tokens.tolist()
    assert (packed.n_tokens <= limit).all()
    assert packed.n_cut.tolist() == kept.cut.tolist()
    assert list(kept) == [cell[: len(left)] for cell, left in zip(ranked, kept, strict=True)]
    more = render_text(ranked.top(kept.lengths + 1), **options).to_pylist()
    for text, n_cut in zip(more, kept.cut, strict=True):
        assert n_cut == 0 or COUNT[kind](text) > limit


def test_metadata_is_never_cut_and_cut_genes_are_counted():
    obs = pd.DataFrame({"sample": ["s" * 20], "condition": ["control"]})
    features = ("sample", "condition")
    ranked = ranked_of([40])
    kept = fit_cells(ranked, letters, limit=130, style="cellama", obs=obs, obs_features=features)
    (text,) = render_text(kept, style="cellama", obs=obs, obs_features=features).to_pylist()
    assert text.startswith(f"sample of this cell is {'s' * 20}. condition of this cell is control.")
    assert text.endswith(".")
    assert 0 < kept.lengths[0] < 40
    assert kept.cut[0] == 40 - kept.lengths[0]


def test_words_that_leave_no_room_are_refused_with_the_sizes():
    obs = pd.DataFrame({"tissue": ["lung"]}, index=["AAAC-1"])
    refusal = r"text of cell 'AAAC-1' takes 14 tokens of 10"
    with pytest.raises(InputError, match=refusal):
        fit_cells(ranked_of([3]), letters, limit=10, obs=obs, obs_features=("tissue",))
    prompt = (Text("tissue: "), Field("lung"), Names(np.arange(3, dtype=np.int32), VOCABULARY))
    with pytest.raises(InputError, match=refusal):
        pack([prompt], letters, limit=10, cells=["AAAC-1"])


def test_a_limit_below_one_is_refused():
    with pytest.raises(InputError, match="at least 1, got 0"):
        pack([], letters, limit=0)


def test_several_cells_lose_the_ends_of_their_longest_lists():
    ids = np.arange(10, dtype=np.int32)
    prompt = (Names(ids[:2], VOCABULARY), Text("|"), Names(ids, VOCABULARY))
    packed = pack([prompt], letters, limit=2 + 7 + 1 + 15)
    assert plain_text(packed.prompts[0]) == "CD0 CD1|CD0 CD1 CD2 CD3"
    assert packed.n_cut.tolist() == [6]


def test_genes_that_may_not_be_cut_stay():
    fixed = Names(np.arange(3, dtype=np.int32), VOCABULARY, may_cut=False)
    free = Names(np.arange(3, dtype=np.int32), VOCABULARY)
    packed = pack([(fixed, Text(" "), free)], letters, limit=2 + 11 + 1 + 3)
    assert plain_text(packed.prompts[0]) == "CD0 CD1 CD2 CD0"


def test_the_number_of_genes_is_said_again():
    style = get_style("{n_genes}: {genes}")
    packed = pack(style.prompts(ranked_of([30])), letters, limit=40)
    number, _, names = plain_text(packed.prompts[0]).partition(": ")
    assert int(number) == len(names.split()) < 30


def test_a_gene_that_is_asked_about_is_not_one_of_the_genes_that_are_counted():
    vocabulary = Vocabulary(("CD3E", "IL7R", "LYZ", "STAT1"))
    cell = Names(np.array([0, 1, 2], dtype=np.int32), vocabulary)
    asked = Names(np.array([3], dtype=np.int32), vocabulary, may_cut=False)
    prompt = (Counted.of(3), Text(" genes: "), cell, Text(". And "), asked)

    def words(text: str) -> list[int]:
        return [len(word) for word in text.split()]

    whole = pack([prompt], words, limit=20)
    assert plain_text(whole.prompts[0]) == "3 genes: CD3E IL7R LYZ. And STAT1"
    short = pack([prompt], words, limit=6)
    assert plain_text(short.prompts[0]) == "2 genes: CD3E IL7R. And STAT1"

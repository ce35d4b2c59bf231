"""What may come next is what some allowed answer goes on with, for any tokenizer."""

from __future__ import annotations

import json
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from celloquy.errors import InputError
from celloquy.lm._constrain import compile_constraint
from celloquy.lm._formats import PlainFormat
from celloquy.lm._formats_tokens import TokenReader
from celloquy.text import JSONSchema, OneOf, Sequence
from decoder_models import make_tokenizer

GENES = ("CD4", "CD40", "CD8A", "HLA-DRA", "MT-CO1", "C1")
ROOMY = 400


def byte_level():
    return make_tokenizer("bytes").backend_tokenizer


def spaces():
    return make_tokenizer("spaces").backend_tokenizer


def word_pieces():
    pieces = ["<end>", "[UNK]", "CD", "##4", "##0", "##8", "##A", "HLA", "##-", "##DRA", "MT", "C1"]
    pieces += ["##CO", "##1", "CD4", "C", "##D"]
    made = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece(cleanup=False)
    return made


def unigram():
    pieces = [("<unk>", 0.0), ("<end>", 0.0), ("▁", -3.0), ("▁CD", -2.0), ("▁CD4", -2.5)]
    pieces += [(letter, -4.0) for letter in "ABCDHLMORT-01248"] + [("HLA", -2.0)]
    made = Tokenizer(models.Unigram(pieces, unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made


def one_a_gene(genes=GENES):
    made = Tokenizer(
        models.WordLevel({g: i for i, g in enumerate([*genes, "<end>", "<unk>"])}, "<unk>")
    )
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


ENDS = {byte_level: 0, spaces: 1, word_pieces: 0, unigram: 1, one_a_gene: len(GENES)}
ANY = pytest.mark.parametrize("make", ENDS, ids=lambda make: make.__name__)
_MADE = {}


def words_of(make, *, joint=" "):
    if (make, joint) not in _MADE:
        reader = TokenReader(make())
        _MADE[make, joint] = PlainFormat(reader, end_ids=(ENDS[make],), joint=joint)
    return _MADE[make, joint]


def whole_answers(constraint, words):
    """Token ids of every answer that a constraint allows, its end included."""
    if isinstance(constraint, OneOf):
        texts = list(constraint.answers)
    else:
        n, genes = constraint.n, constraint.strings
        numbers = [n] if constraint.exactly else range(1, n + 1)
        several = (
            (lambda k: product(genes, repeat=k))
            if constraint.repeats
            else (lambda k: permutations(genes, k))
        )
        texts = [constraint.delimiter.join(one) for k in numbers for one in several(k)]
    return {(*ids, words.end_ids[0]) for ids in words.encode_answers(texts)}


def walk(compiled, *, rng, room=ROOMY):
    """Go through the constraint at random; give the tokens, and what was allowed at each."""
    progress = compiled.start(np.array([room]))
    row, ids, seen = np.array([0]), [], []
    mask = progress.look()
    while not progress.has_ended(row)[0]:
        open_ids = compiled.tokens[mask[0]]
        seen.append((tuple(ids), set(open_ids.tolist())))
        column = rng.choice(np.flatnonzero(mask[0]))
        taken, mask = progress.follow(row, np.array([column]))
        ids += [int(compiled.tokens[column]) for column in taken[0] if column >= 0]
    return ids, seen


def agrees(compiled, answers, *, rng):
    ids, seen = walk(compiled, rng=rng)
    assert tuple(ids) in answers
    for before, allowed in seen:
        assert allowed == {a[len(before)] for a in answers if a[: len(before)] == before}
    return seen


@ANY
@settings(max_examples=8, deadline=None)
@given(
    genes=st.lists(st.sampled_from(GENES), min_size=1, max_size=4, unique=True),
    n=st.integers(1, 3),
    exactly=st.booleans(),
    repeats=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_may_come_next_is_what_some_allowed_answer_goes_on_with(
    make, genes, n, exactly, repeats, seed
):
    words = words_of(make)
    n = n if repeats else min(n, len(genes))
    constraint = Sequence(tuple(genes), n, exactly=exactly, repeats=repeats)
    compiled = compile_constraint(constraint, words)
    answers = whole_answers(constraint, words)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        agrees(compiled, answers, rng=rng)


def test_of_many_genes_with_a_token_each_those_that_were_not_written_may_follow():
    genes = tuple(f"G{i}" for i in range(50))
    reader = TokenReader(one_a_gene(genes))
    words = PlainFormat(reader, end_ids=(len(genes),), joint=" ")
    compiled = compile_constraint(Sequence(genes, 40), words)
    ids, seen = walk(compiled, rng=np.random.default_rng(0), room=41)
    assert len(set(ids)) == 41
    for before, allowed in seen:
        assert allowed == set(range(50)) - set(before)


@ANY
def test_a_gene_that_another_begins_with_is_told_apart_by_what_follows(make):
    words = words_of(make)
    constraint = Sequence(("CD4", "CD40"), 2)
    compiled, answers = compile_constraint(constraint, words), whole_answers(constraint, words)
    texts = set()
    for seed in range(12):
        ids, _ = walk(compiled, rng=np.random.default_rng(seed))
        assert tuple(ids) in answers
        texts.add(words.decode(ids[:-1]).strip())
    assert texts == {"CD4 CD40", "CD40 CD4"}


@ANY
def test_one_of_some_answers_is_answered_whole(make):
    words = words_of(make)
    constraint = OneOf(("CD4", "CD40", "CD4 CD40"))
    agrees(
        compile_constraint(constraint, words),
        whole_answers(constraint, words),
        rng=np.random.default_rng(0),
    )


def test_the_tokens_are_those_that_the_tokenizer_gives_the_whole_text():
    words = words_of(byte_level)
    compiled = compile_constraint(Sequence(GENES, 6), words)
    for seed in range(5):
        ids, _ = walk(compiled, rng=np.random.default_rng(seed))
        text = words.decode(ids[:-1])
        assert sorted(text.split(" ")) == sorted(GENES)
        assert [*words.encode_answers([text])[0], 0] == ids


@pytest.mark.parametrize("delimiter", [", ", "\n", " > "])
def test_any_delimiter_can_stand_between(delimiter):
    words = words_of(byte_level)
    constraint = Sequence(("CD4", "CD40", "HLA-DRA"), 3, delimiter=delimiter)
    ids, _ = walk(compile_constraint(constraint, words), rng=np.random.default_rng(1))
    assert sorted(words.decode(ids[:-1]).split(delimiter)) == ["CD4", "CD40", "HLA-DRA"]


def test_only_tokens_that_a_gene_needs_are_rows_of_the_head():
    words = words_of(one_a_gene)
    compiled = compile_constraint(Sequence(("CD8A", "CD4"), 2), words)
    assert compiled.tokens.tolist() == [0, 2, len(GENES)]


def test_forced_tokens_are_taken_without_asking():
    words = words_of(one_a_gene)
    compiled = compile_constraint(Sequence(("CD8A", "CD4"), 2), words)
    progress, row = compiled.start(np.array([9])), np.array([0])
    taken, _ = progress.follow(row, np.array([0]))
    assert compiled.tokens[taken[0, :3]].tolist() == [0, 2, len(GENES)]
    assert progress.has_ended(row).all()


@ANY
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 999), slack=st.integers(0, 6), n=st.integers(1, 5))
def test_exactly_n_genes_are_complete_however_short_the_room(make, seed, slack, n):
    words = words_of(make)
    compiled = compile_constraint(Sequence(GENES, n), words)
    room = compiled.fewest + slack
    ids, _ = walk(compiled, rng=np.random.default_rng(seed), room=room)
    assert len(ids) <= room
    found = words.decode(ids[:-1]).split()
    assert len(found) == len(set(found)) == n
    assert set(found) <= set(GENES)


def test_an_answer_that_cannot_fit_is_refused_with_the_number_that_does():
    words = words_of(one_a_gene)
    compiled = compile_constraint(Sequence(GENES, 5), words)
    with pytest.raises(InputError, match=r"5 strings take at least 6 tokens, and 4 are left") as no:
        compiled.start(np.array([50, 4]))
    assert "ask for 3 at the most" in no.value.hint
    compile_constraint(Sequence(GENES, 3), words).start(np.array([4]))
    with pytest.raises(
        InputError, match=r"An answer takes at least 2 tokens, and 1 are left"
    ) as no:
        compile_constraint(OneOf(GENES), words).start(np.array([1]))
    assert "shorten the prompt" in no.value.hint


def test_genes_that_the_tokenizer_cannot_write_are_named_and_counted():
    with pytest.raises(InputError, match=r"cannot write 2 of 4 allowed strings: 'XIST', 'YBX1'\."):
        compile_constraint(Sequence(("CD4", "XIST", "C1", "YBX1"), 2), words_of(one_a_gene))
    with pytest.raises(InputError, match=r"cannot write 1 of 2 allowed strings: 'XIST'\."):
        compile_constraint(OneOf(("CD4", "XIST")), words_of(unigram))


def test_genes_that_the_tokenizer_writes_alike_are_refused():
    lower = byte_level()
    from tokenizers import normalizers

    lower.normalizer = normalizers.Lowercase()
    words = PlainFormat(TokenReader(lower), end_ids=(0,))
    with pytest.raises(InputError, match=r"cannot write 2 of 2 allowed strings: 'Cd4', 'CD4'"):
        compile_constraint(Sequence(("Cd4", "CD4"), 2), words)


def test_a_delimiter_within_a_gene_is_refused():
    with pytest.raises(InputError, match=r"1 of 2 allowed strings hold the delimiter ' ', such as"):
        compile_constraint(Sequence(("A B", "C1"), 1), words_of(byte_level))
    with pytest.raises(InputError, match="Nothing stands between two strings"):
        compile_constraint(Sequence(("A", "C1"), 1, delimiter=""), words_of(byte_level))


def test_strings_of_which_the_end_does_not_show_are_refused():
    with pytest.raises(InputError, match=r"After 'A', the tokenizer writes the rest of a longer"):
        compile_constraint(Sequence(("A", "A,B", "B"), 2, delimiter=", "), words_of(byte_level))


def test_a_model_without_an_end_is_refused():
    words = PlainFormat(TokenReader(byte_level()), end_ids=())
    with pytest.raises(InputError, match="no token that ends an answer"):
        compile_constraint(OneOf(("CD4",)), words)


SCHEMA = {
    "type": "object",
    "properties": {"cell_type": {"enum": ["B cell", "T cell"]}, "sure": {"type": "boolean"}},
    "required": ["cell_type", "sure"],
    "additionalProperties": False,
}


def test_json_of_a_schema_is_all_that_can_be_written():
    compiled = compile_constraint(JSONSchema(SCHEMA), words_of(byte_level))
    for seed in range(4):
        ids, _ = walk(compiled, rng=np.random.default_rng(seed))
        found = json.loads(words_of(byte_level).decode(ids[:-1]))
        assert found["cell_type"] in {"B cell", "T cell"}
        assert set(found) == {"cell_type", "sure"}


def test_a_schema_that_is_none_is_refused():
    with pytest.raises(InputError, match="The JSON schema cannot be used"):
        compile_constraint(JSONSchema({"type": "nonsense"}), words_of(byte_level))

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.lm._formats import PlainFormat
from celloquy.lm._formats_tokens import TokenReader
from celloquy.text import Names, Text, Vocabulary
from celloquy.training import TrainingExample, _loss
from celloquy.training._batching import (
    GRANULE,
    epoch_steps,
    make_batch,
    make_packed,
    micro_batches,
    n_learned,
)
from celloquy.training._batching import (
    make_seq2seq as make_seq2seq_batch,
)
from celloquy.training._loss import AnswerLoss
from celloquy.training._tokens import ExampleWeights, TokenRoom, open_tokens, write_tokens
from decoder_models import each_family, make_decoder, make_seq2seq, make_tokenizer
from training_runs import examples

TRAINED = ("gpt2", "llama", "qwen3", "gpt_neox", "gemma", "gemma2")
LENGTHS = st.lists(st.integers(2, 300), min_size=1, max_size=200).map(np.array)


def words(*, joint=" ", is_closed=False, kind="bytes"):
    return PlainFormat(
        TokenReader(make_tokenizer(kind).backend_tokenizer),
        end_ids=(0,) if kind == "bytes" else (1,),
        joint=joint,
        is_closed=is_closed,
    )


def tokens_of(folder, some, **room):
    told = {"max_tokens": 512, "is_shared": True, **room}
    return write_tokens(some, words(), folder / "tokens", room=TokenRoom(**told))


@pytest.fixture
def tokens(tmp_path):
    return tokens_of(tmp_path, [TrainingExample(**one) for one in examples(13, seed=3)])


def test_examples_count_alike_however_long_their_answers_are(tmp_path):
    some = [
        TrainingExample("a", "B cell", "cell_type"),
        TrainingExample("b", "CD3D CD3E IL7R LCK", "pseudo_cell", weight=2.0),
    ]
    weights = ExampleWeights(by_example=True, of_task={"pseudo_cell": 0.25})
    room = TokenRoom(512, is_shared=True)
    made = write_tokens(some, words(), tmp_path / "tokens", room=room, weights=weights)
    by_hand = [1 / made.columns["answer"][0], 2.0 * 0.25 / made.columns["answer"][1]]
    np.testing.assert_allclose(made.columns["weight"], by_hand, rtol=1e-6)
    assert n_learned(made, np.arange(2))[1] == pytest.approx(1.5)


def test_a_prompt_that_is_learned_is_part_of_what_an_example_counts(tmp_path):
    weights = ExampleWeights(by_example=True, learns_all=True)
    room = TokenRoom(512, is_shared=True)
    some = [TrainingExample("which type is it", "B")]
    made = write_tokens(some, words(), tmp_path / "tokens", room=room, weights=weights)
    assert n_learned(made, np.arange(1), learns_all=True)[1] == pytest.approx(1.0)


@given(LENGTHS, st.integers(1, 40), st.integers(0, 3), st.booleans())
def test_each_example_comes_once_an_epoch(lengths, batch_size, epoch, groups):
    steps = epoch_steps(lengths, batch_size=batch_size, seed=0, epoch=epoch, groups=groups)
    assert sorted(np.concatenate(steps)) == list(range(len(lengths)))
    assert all(len(rows) == batch_size for rows in steps[:-1])


def test_the_order_depends_on_seed_and_epoch_alone():
    lengths = np.arange(40)

    def order(seed, epoch):
        steps = epoch_steps(lengths, batch_size=8, seed=seed, epoch=epoch, groups=True)
        return np.concatenate(steps).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) != order(1, 1)


def test_groups_leave_a_tenth_of_the_padding():
    lengths = np.random.default_rng(0).integers(20, 500, 4_000)

    def padded(groups):
        steps = epoch_steps(lengths, batch_size=GRANULE, seed=0, epoch=0, groups=groups)
        return sum(lengths[rows].max() * len(rows) for rows in steps) / lengths.sum() - 1

    assert padded(groups=False) > 0.5
    assert padded(groups=True) < 0.05


@given(LENGTHS, st.integers(1, 20), st.integers(1, 5))
def test_devices_share_a_step_and_wait_for_no_one(lengths, at_once, world):
    rows = np.arange(len(lengths))
    cuts = [
        micro_batches(rows, lengths, at_once=at_once, rank=rank, world=world)
        for rank in range(world)
    ]
    assert len({len(mine) for mine in cuts}) == 1
    counted = [cut for mine in cuts for cut, counts in mine if counts]
    assert sorted(np.concatenate(counted)) == rows.tolist()
    assert all(len(cut) <= at_once for cut in counted)


def own_loss(model, tokens, rows):
    """Loss of transformers' own model with labels, one example at a time; its sum."""
    total = 0.0
    for row in rows:
        ids, n_prompt = tokens.row(int(row))
        ids = torch.tensor(np.array(ids), dtype=torch.int64)[None]
        labels = ids.clone()
        labels[:, :n_prompt] = -100
        loss = model(input_ids=ids, labels=labels).loss
        total = total + loss * int((labels[:, 1:] != -100).sum())
    return total


@pytest.mark.parametrize("family", each_family(TRAINED))
def test_the_loss_and_its_gradient_are_those_of_transformers_with_padding_or_packed(tokens, family):
    rows = np.array([0, 5, 7, 2])
    model = make_decoder(family, vocab_size=400).requires_grad_(requires_grad=True)
    loss = AnswerLoss(model, device="cpu", precision="fp32")
    found = []
    for total in (
        own_loss(model, tokens, rows),
        loss(make_batch(tokens, rows)),
        loss(make_batch(tokens, rows, multiple=8)),
        loss(make_packed(tokens, rows)),
    ):
        model.zero_grad()
        total.backward()
        gradient = torch.cat([one.grad.ravel() for one in model.parameters()])
        found.append((float(total.detach()), gradient))
    for other, gradient in found[1:]:
        assert other == pytest.approx(found[0][0], rel=1e-4)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", each_family(TRAINED[:5]))
def test_a_packed_example_sees_no_other(tokens, family):
    model = make_decoder(family, vocab_size=400)
    loss = AnswerLoss(model, device="cpu", precision="fp32")
    rows = np.array([4, 1, 9])
    packed = float(loss(make_packed(tokens, rows)))
    alone = sum(float(loss(make_packed(tokens, rows[[i]]))) for i in range(3))
    assert packed == pytest.approx(alone, abs=1e-4)
    leaky = make_packed(tokens, rows)
    leaky.positions = torch.arange(leaky.ids.shape[1])[None]
    assert abs(float(loss(leaky)) - alone) > 1e-2


def test_many_logits_are_computed_in_pieces_with_the_same_gradient(tokens, monkeypatch):
    rows = np.arange(6)
    model = make_decoder("llama", vocab_size=400).requires_grad_(requires_grad=True)
    loss = AnswerLoss(model, device="cpu", precision="fp32")
    found = []
    for most in (2**25, 400 * 5):
        monkeypatch.setattr(_loss, "MOST_LOGITS", most)
        model.zero_grad()
        total = loss(make_batch(tokens, rows, learns_all=True))
        total.backward()
        found.append((float(total.detach()), model.lm_head.weight.grad.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-4)


def test_an_encoder_decoder_learns_every_token_of_an_answer_as_transformers_does(tmp_path):
    some = [TrainingExample(**one) for one in examples(5, seed=3)]
    closed = words(joint="", is_closed=True, kind="spaces")
    room = TokenRoom(512, is_shared=False)
    tokens = write_tokens(some, closed, tmp_path / "t", room=room)
    vocab = len(make_tokenizer("spaces"))
    model = make_seq2seq(vocab_size=vocab)
    loss = AnswerLoss(model, device="cpu", precision="fp32")
    expected = 0.0
    for row in range(5):
        ids, n_prompt = tokens.row(row)
        ids = torch.tensor(np.array(ids), dtype=torch.int64)[None]
        answer = ids[:, n_prompt:]
        expected += float(model(input_ids=ids[:, :n_prompt], labels=answer).loss) * answer.numel()
    batch = make_seq2seq_batch(tokens, np.arange(5), start_id=0, multiple=8)
    assert float(loss(batch)) == pytest.approx(expected, rel=1e-4)


def character_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = {chr(i): i for i in range(1, 128)} | {"<eos>": 0}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return tokenizer


def test_prompt_and_answer_apart_or_joined_as_in_cell2sentence_af_23(tmp_path):
    reader = TokenReader(character_tokenizer())
    example, room = TrainingExample("AB", "C"), TokenRoom(16, is_shared=True)
    apart = PlainFormat(reader, end_ids=(0,), joint="")
    tokens = write_tokens([example], apart, tmp_path / "apart", room=room)
    batch = make_batch(tokens, np.array([0]))
    assert batch.ids.tolist() == [[65, 66, 67, 0]]
    assert (batch.asked.tolist(), batch.targets.tolist()) == ([1, 2], [67, 0])
    joined = PlainFormat(reader, end_ids=(0,), joint=" ")
    tokens = write_tokens([example], joined, tmp_path / "joined", room=room)
    batch = make_batch(tokens, np.array([0]), learns_all=True)
    assert batch.ids.tolist() == [[65, 66, 32, 67, 0]]
    assert (batch.asked.tolist(), batch.targets.tolist()) == ([0, 1, 2, 3], [66, 32, 67, 0])
    assert n_learned(tokens, np.array([0]), learns_all=True) == (4, 4.0)


def test_no_answer_is_cut_to_fit_af_24(tmp_path):
    reader = TokenReader(character_tokenizer())
    some = [TrainingExample("ABCDEFGH", "I"), TrainingExample("A", "B"), TrainingExample("A", "BC")]
    apart = PlainFormat(reader, end_ids=(0,), joint="")
    room = TokenRoom(8, is_shared=True)
    with pytest.raises(InputError, match=r"1 of 3 examples do not fit the model, which reads 8"):
        write_tokens(some, apart, tmp_path / "t", room=room)
    room = TokenRoom(8, is_shared=True, too_long="leave_out")
    tokens = write_tokens(some, apart, tmp_path / "t", room=room)
    assert (tokens.lengths.tolist(), tokens.about["n_left_out"]) == ([3, 4], 1)


def test_an_example_is_shortened_by_its_last_genes_and_they_are_counted(tmp_path):
    vocabulary = Vocabulary(("CD3D", "CD3E", "LYZ", "NKG7"))
    genes = Names(np.arange(4, dtype=np.int32), vocabulary)
    prompt = (Text("Genes: "), genes, Text("."))
    whole = tokens_of(tmp_path, [TrainingExample(prompt, "T cell")])
    limit = int(whole.lengths[0]) - 1
    short = tokens_of(
        tmp_path, [TrainingExample(prompt, "T cell")], max_tokens=limit, too_long="shorten"
    )
    assert (short.about["n_shortened"], short.about["n_genes_cut"]) == (1, 1)
    assert words().decode(short.prompt(0)) == "Genes: CD3D CD3E LYZ."
    assert words().decode(short.row(0)[0][short.row(0)[1] :]) == "T cell"


def test_a_plain_text_is_never_shortened(tmp_path):
    some = [TrainingExample("CD3D " * 40, "T cell"), TrainingExample("CD3D", "T cell")]
    tokens = tokens_of(tmp_path, some, max_tokens=30, too_long="shorten")
    assert (len(tokens), tokens.about["n_left_out"], tokens.about["n_shortened"]) == (1, 1, 0)


def test_examples_that_are_all_too_long_leave_nothing_to_learn(tmp_path):
    some = [TrainingExample("CD3D " * 40, "T cell")]
    with pytest.raises(InputError, match="no example to learn from: all 1 are too long"):
        tokens_of(tmp_path, some, max_tokens=30, too_long="leave_out")
    with pytest.raises(InputError, match="no example to learn from: the files hold none"):
        tokens_of(tmp_path, [])


def test_examples_on_disk_that_were_changed_are_refused(tmp_path, tokens):
    assert len(open_tokens(tokens.folder)) == 13
    with (tokens.folder / "ids.bin").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match="is not the file that this run wrote"):
        open_tokens(tokens.folder)


def test_a_weight_counts_each_token_of_its_example(tmp_path):
    some = [TrainingExample("CD3D", "T cell", weight=w) for w in (1.0, 3.0)]
    tokens = tokens_of(tmp_path, some)
    model = make_decoder("llama", vocab_size=400)
    loss = AnswerLoss(model, device="cpu", precision="fp32")
    one, both = (float(loss(make_batch(tokens, np.array(rows)))) for rows in ([0], [0, 1]))
    assert both == pytest.approx(4 * one, rel=1e-5)
    count, weight = n_learned(tokens, np.array([0, 1]))
    assert weight == 2 * count


@settings(max_examples=20)
@given(st.lists(st.text(min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=5))
def test_every_label_reaches_the_loss(tmp_path_factory, labels):
    some = [TrainingExample("Genes: CD3D", label) for label in labels]
    tokens = tokens_of(tmp_path_factory.mktemp("t"), some)
    batch = make_batch(tokens, np.arange(len(labels)))
    expected = [token for label in labels for token in words().answer_ids(label, ends=True)]
    assert batch.targets.tolist() == expected

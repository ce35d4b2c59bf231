"""Files of tasks: what is wrong is told with line, column and the closest word."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.tasks import load_task
from celloquy.tasks._form import task_of

FILE = """\
version: 1
name: mood
summary: Say the mood of a cell.
inputs:
  cell_sentence: {kind: cell}
  n_genes: {kind: count, of: cell_sentence}
  tissue:
    kind: field
    default: unknown
answer:
  kind: label
  template: "{mood}"
  labels: [calm, Yes, 7]
metrics: [accuracy]
templates:
  - "Tissue {tissue}, {n_genes} genes: {cell_sentence} Mood:"
  - |-
    A cell ({tissue}).
    Genes: {cell_sentence}
    Mood:
"""


def changed(old, new):
    assert FILE.count(old) >= 1
    return FILE.replace(old, new, 1)


def test_a_task_is_read_from_a_file(tmp_path):
    path = tmp_path / "mood.yaml"
    path.write_text(FILE, "utf-8")
    task = load_task(path)
    assert (task.name, task.version, task.metric) == ("mood", 1, "accuracy")
    assert task.answer.labels == ("calm", "Yes", "7")
    assert load_task(str(path)).sha256 == task.sha256
    assert [given.name for given in task.asked_for] == ["cell_sentence", "tissue"]


def test_braces_of_json_and_doubled_braces_are_words():
    new = r"""'{"genes": "{cell_sentence}", "of": {tissue}} {{tissue}}'"""
    text = changed('"Tissue {tissue}, {n_genes} genes: {cell_sentence} Mood:"', new)
    text = text.replace("  n_genes: {kind: count, of: cell_sentence}\n", "")
    task = task_of(text, file="t.yaml")
    assert task.templates[0] == '{"genes": "{cell_sentence}", "of": {tissue}} {{tissue}}'


WRONG = [
    (("version: 1", "version: 2"), "m.yaml:1:10: This file has version 2; this celloquy reads"),
    (("version: 1", "version: one"), "m.yaml:1:10: `version` is a whole number, not 'one'"),
    (("name: mood", "name: My Mood"), "m.yaml:2:7: `name` is small letters, digits and"),
    (("name: mood", "name: [mood]"), "m.yaml:2:7: `name` is a text, not a list"),
    (("summary: Say the mood of a cell.", "summary:"), "m.yaml:3:9: `summary` is empty"),
    (("summary", "summaryy"), "m.yaml:3:1: A task has no key 'summaryy'; the closest is 'summary'"),
    (("summary: Say the mood of a cell.\n", ""), "m.yaml:1:1: The task has no `summary`"),
    (("summary: Say", "name: Say"), "m.yaml:3:1: The key 'name' repeats"),
    (("  cell_sentence: {kind: cell}", "  cell_sentence: {kind: cel}"),
     "m.yaml:5:25: There is no kind of input 'cel'; the closest is 'cell'"),
    (("  cell_sentence: {kind: cell}", "  cell_sentence: {of: cell}"),
     "m.yaml:5:18: Input 'cell_sentence' has no `kind`"),
    (("  cell_sentence: {kind: cell}", "  cell_sentence: cell"),
     "m.yaml:5:18: Input 'cell_sentence' is a mapping (`key: value`), not 'cell'"),
    (("{kind: cell}", "{kind: cell, default: x}"), "m.yaml:5:40: Input 'cell_sentence' is a cell,"),
    (("{kind: cell}", "{kind: cell, of: x}"), "`of:` belongs to a count, and to nothing else"),
    (("{kind: cell}", "{kind: cell, summry: x}"),
     "m.yaml:5:31: Input 'cell_sentence' has no key 'summry'; the closest is 'summary'"),
    (("of: cell_sentence", "of: cell_sentense"),
     "'n_genes' counts 'cell_sentense', which is no input with genes or cells; the closest is "
     "'cell_sentence'"),
    (("  tissue:", "  Tissue:"), "m.yaml:7:3: An input is named in small letters"),
    (("  tissue:", "  a:"), "m.yaml:7:3: An input is named in small letters, digits"),
    (('  template: "{mood}"', "  tmplate: x"),
     "m.yaml:12:3: `answer` has no key 'tmplate'; the closest is 'template'"),
    (('  template: "{mood}"\n', ""), "m.yaml:11:3: `answer` has no `template`"),
    (('"{mood}"', "mood"), "m.yaml:12:13: The answer's template has one gap, which is no input"),
    (('"{mood}"', '"{tissue}"'), "has one gap, which is no input, not '{tissue}'"),
    (('"{mood}"', "{mood}"), "m.yaml:12:13: `template` is a text, not a mapping"),
    (("kind: label", "kind: labl"), "no kind of answer 'labl'; the closest is 'label'"),
    (("kind: label", "kind: label\n  parser: choicee"),
     "m.yaml:12:11: There is no parser 'choicee'; the closest is 'choice'"),
    (("calm, Yes", "calm, calm"), "m.yaml:13:18: The label 'calm' repeats"),
    (("[calm, Yes, 7]", "[]"), "m.yaml:13:11: There are no labels to choose from"),
    (("calm, Yes", '"calm\\n", Yes'), "m.yaml:13:12: The label 'calm\\n' holds line breaks"),
    (("calm, Yes", '"", Yes'), "m.yaml:13:12: A label is empty"),
    (("[accuracy]", "[accurac]"), "m.yaml:14:11: There is no metric 'accurac'; the closest is"),
    (("[accuracy]", "[]"), "m.yaml:14:10: A task has at least one metric"),
    (("[accuracy]", "accuracy"), "m.yaml:14:10: `metrics` is a list (`- entry`), not 'accuracy'"),
    (("Tissue {tissue}", "Tissue {tisue}"),
     "m.yaml:16:13: Template 0 has the gap {tisue}, which is no input; the closest is 'tissue'"),
    (("Tissue {tissue}", "Tissue \\x7btisue}"),
     "m.yaml:16:5: Template 0 has the gap {tisue}, which is no input; the closest is 'tissue'"),
    (("    Genes: {cell_sentence}", "    Genes: {cell_sentense}"),
     "m.yaml:19:12: Template 1 has the gap {cell_sentense}, which is no input; the closest is"),
    (("    Genes: {cell_sentence}\n", ""),
     "m.yaml:17:5: Template 1 has no gap for the input 'cell_sentence'"),
    (("    Mood:", "    Mood: {mood}"), "m.yaml:20:11: Template 1 holds the answer, {mood}"),
    (("    A cell (", "    {a:tissue} ({obs:x}"), "m.yaml:18:17: Template 1 has the gap"),
    (("    A cell (", "    {a:cell_sentence} ("), "'cell_sentence' is a cell, no field"),
    (("  - |-", '  - "Tissue {tissue}, {n_genes} genes: {cell_sentence} Mood:"\n  - |-'),
     "m.yaml:17:5: Template 1 is the same as template 0"),
    (("{n_genes} genes", "genes"), "m.yaml:16:3: No template uses the input 'n_genes'"),
    (("version: 1", "quotes: perhaps\nversion: 1"), "no value of `quotes` 'perhaps'"),
    (("  labels: [calm, Yes, 7]", "  labels: &x [calm]\n  options: {a: *x}"),
     "A task has no references"),
    (("[calm, Yes, 7]", "[!!python/object:os.system calm]"), "A task has no tags, such as"),
    (("[calm, Yes, 7]", "[!mine calm]"), "m.yaml:13:12: A task has no tags, such as '!mine'"),
    (("[calm, Yes, 7]", "[calm, Yes"), "m.yaml:14:8: this is no YAML"),
    (("version: 1", "\tversion: 1"), "m.yaml:1:1: this is no YAML"),
    ((FILE, "- version\n"), "m.yaml:1:1: A task is a mapping (`key: value`), not a list"),
    ((FILE, ""), "m.yaml is empty"),
    ((FILE, "[" * 1100), "m.yaml: this is no YAML"),
    ((FILE, "a\x00b"), "m.yaml: this is no YAML"),
    ((FILE, "x" * 2_000_001), "m.yaml has 2,000,001 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_mistake_is_told_with_its_place(change, message):
    with pytest.raises(InputError, match=re.escape(message)) as told:
        task_of(changed(*change), file="m.yaml")
    assert told.value.hint


def test_a_list_of_templates_must_hold_one():
    cut = FILE[: FILE.index("templates:")] + "templates: []\n"
    with pytest.raises(InputError, match=r"m\.yaml:15:12: A task has at least one template"):
        task_of(cut, file="m.yaml")


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"There is no file '.*none\.yaml'"):
        load_task(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read as text"):
        load_task(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as text"):
        load_task(tmp_path / "bytes.yaml")


@given(st.text(max_size=200))
def test_whatever_a_file_holds_it_is_a_task_or_refused(text):
    with pytest.raises(InputError):
        task_of(text, file="m.yaml")


@given(st.integers(0, len(FILE)), st.text(max_size=5))
def test_a_task_with_something_put_into_it_is_read_or_refused(at, text):
    refused = None
    try:
        task_of(FILE[:at] + text + FILE[at:], file="m.yaml")
    except InputError as error:
        refused = str(error)
    assert refused is None or re.match(r"m\.yaml(:\d+:\d+)?:? ", refused)

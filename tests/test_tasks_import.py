"""Files of other projects: prompt files become tasks, examples become lines, predictions go out."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from celloquy.errors import InputError
from celloquy.tasks import (
    Example,
    import_cell2sentence,
    import_tasks,
    load_task,
    read_alpaca,
    read_dataset_info,
    read_source_target,
    write_alpaca,
    write_dataset_info,
    write_examples,
    write_predictions,
)
from celloquy.text import Names, Vocabulary, plain_text

GENES = Vocabulary(tuple("ABCDEF"))
PREDICTION = {
    "model_input": [
        "Tell the type by {num_genes} genes ({organism}).\nCell sentence: {cell_sentence}.\nType:",
        "From {organism}: {cell_sentence}.\nThe type is:",
    ],
    "response": ["{cell_type}."],
}
TISSUE = {
    "model_input": [
        "{num_cells} cells, {num_genes} genes, {organism}.\nCell sentences:\n"
        "{multi_cell_sentences}.\nPredicted tissue:"
    ],
    "response": ["{tissue}."],
}
SAMPLE = {
    "model_input": ["{num_cells} cells of {tissue}, {num_genes} genes, {organism}.\n"],
    "response": ["{multi_cell_sentences}."],
}


def cell(names):
    return Names(GENES.find(names), GENES)


def put(path, content):
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_a_prompt_file_becomes_a_task_af_18(tmp_path):
    task = import_cell2sentence(put(tmp_path / "Cell type-prediction.json", PREDICTION))
    assert task.name == "cell_type_prediction"
    said = plain_text(task.prompt({"cell_sentence": cell("AB")}))
    assert said == "Tell the type by 2 genes (Homo sapiens).\nCell sentence: A B.\nType:"
    assert task.answer_text("T cell") == "T cell."
    assert task.parse("T cell.", allowed=["T cell"]).value == "T cell"
    assert task.templates[1] == PREDICTION["model_input"][1]


def test_an_imported_prompt_has_a_users_words_bare_on_one_line(tmp_path):
    task = import_cell2sentence(put(tmp_path / "p.json", PREDICTION), name="mine")
    said = plain_text(task.prompt({"cell_sentence": cell("A"), "organism": "Mus\nmusculus <|x|>"}))
    assert "(Mus musculus < |x|>)" in said
    assert task.name == "mine"


def test_the_number_of_genes_is_the_one_asked_for_to_the_letter_only_af_20(tmp_path):
    path = put(tmp_path / "p.json", PREDICTION)
    legacy = import_cell2sentence(path, compat=True)
    said = plain_text(legacy.prompt({"cell_sentence": cell("AB"), "num_genes": 200}))
    assert said.startswith("Tell the type by 200 genes")
    fixed = plain_text(import_cell2sentence(path).prompt({"cell_sentence": cell("AB")}))
    assert fixed.startswith("Tell the type by 2 genes")


def test_a_block_of_cells_has_a_lone_full_stop_to_the_letter_only_af_19(tmp_path):
    path = put(tmp_path / "t.json", TISSUE)
    cells = {"multi_cell_sentences": [cell("AB"), cell("DE")], "num_genes": 2}
    legacy = plain_text(import_cell2sentence(path, compat=True).prompt(cells))
    assert legacy.endswith("Cell 1:\nA B.\nCell 2:\nD E.\n.\nPredicted tissue:")
    fixed = plain_text(import_cell2sentence(path).prompt(cells))
    assert fixed.endswith("Cell 1:\nA B.\nCell 2:\nD E.\nPredicted tissue:")
    assert fixed.startswith("2 cells, 2 genes, Homo sapiens.")


def test_a_generated_sample_ends_in_a_full_stop_to_the_letter_only_af_19(tmp_path):
    path = put(tmp_path / "s.json", SAMPLE)
    cells = [("A", "B"), ("D", "E")]
    legacy = import_cell2sentence(path, compat=True)
    assert legacy.answer_text(cells) == "Cell 1:\nA B.\nCell 2:\nD E.\n."
    fixed = import_cell2sentence(path)
    assert fixed.answer_text(cells) == "Cell 1:\nA B.\nCell 2:\nD E."
    for task in (legacy, fixed):
        assert task.parse(task.answer_text(cells)).value == tuple(cells)
        assert plain_text(task.prompt({"tissue": "lung", "num_genes": 2})) == (
            "5 cells of lung, 2 genes, Homo sapiens.\n"
        )


def test_inference_needs_neither_a_label_nor_an_organism_af_21(tmp_path):
    task = import_cell2sentence(put(tmp_path / "p.json", PREDICTION))
    assert [given.name for given in task.asked_for if given.default is None] == ["cell_sentence"]


WRONG_PROMPTS = [
    ({"model_inputs": ["x"], "response": ["{cell_type}"]},
     "has no key 'model_input'; the closest is 'model_inputs'"),
    ({"model_input": ["x"], "responze": "x"}, "has no key 'response'; the closest is 'responze'"),
    ({"model_input": ["{single_cell_sentence}"], "response": ["{cell_type}."]},
     "entry 1 of 'model_input' has the placeholder {single_cell_sentence}; the closest is "
     "'cell_sentence'"),
    ({"model_input": ["x"], "response": ["{cell_typ}"]}, "has the placeholder {cell_typ}"),
    ({"model_input": ["x", 3], "response": ["{cell_type}"]}, "entry 2 of 'model_input' is no text"),
    ({"model_input": [], "response": ["{cell_type}"]}, "key 'model_input' is no list of templates"),
    ({"model_input": ["x"], "response": ["{tissue}", "{tissue}."]}, "there are 2 answer templates"),
    ({"model_input": ["x"], "response": "yes"}, "'response' holds no placeholder"),
    ({"model_input": ["x"], "response": "{organism}"}, "'response' holds organism"),
    ([], "is no object with the keys 'model_input' and 'response'"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), WRONG_PROMPTS)
def test_a_prompt_file_that_lacks_something_is_refused_with_the_closest(tmp_path, content, message):
    with pytest.raises(InputError, match=re.escape(message)) as told:
        import_cell2sentence(put(tmp_path / "p.json", content))
    assert "p.json" in str(told.value)


ALPACA = [
    {"instruction": "Does A act?", "input": "Gene A\n", "output": "Yes"},
    {"instruction": "Does B act?", "input": "", "output": "No"},
    {"instruction": "Does C act?"},
]
"""Entries with all keys, with an empty one, and with the one that must be there."""


def test_alpaca_examples_are_read_with_or_without_an_answer_ch_4(tmp_path):
    found = read_alpaca(put(tmp_path / "a.json", ALPACA))
    assert [one.prompt for one in found] == ["Does A act?\nGene A\n", "Does B act?", "Does C act?"]
    assert [one.answer for one in found] == ["Yes", "No", None]
    lines = tmp_path / "a.jsonl"
    lines.write_text("".join(json.dumps(one) + "\n" for one in ALPACA), "utf-8")
    assert read_alpaca(lines) == found


WRONG_ALPACA = [
    ([{"instruction": "a"}, {"instructio": "b"}],
     "entry 2 has no key 'instruction'; the closest is 'instructio'"),
    ([{"instruction": "a", "outpt": "b"}],
     "entry 1 has the key 'outpt', which is not read; the closest is 'output'"),
    ([{"instruction": 3}], "entry 1: 'instruction' is a text, not 3"),
    ([{"instruction": "a", "history": [["x", "y"]]}],
     "entry 1 has the key 'history', which is not read"),
    (["a"], 'entry 1 is no object but "a"'),
    ([], "is no list of examples"),
    ({"a": 1}, "is no list of examples"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), WRONG_ALPACA)
def test_an_example_that_lacks_something_is_refused_with_its_number(tmp_path, content, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_alpaca(put(tmp_path / "a.json", content))


def test_an_input_that_is_null_is_none(tmp_path):
    content = [{"instruction": "a", "input": None, "output": None}]
    assert read_alpaca(put(tmp_path / "a.json", content))[0].prompt == "a"


def test_source_and_target_are_read(tmp_path):
    content = [{"source": "s", "target": "t", "cell_type": "Basal"}]
    assert read_source_target(put(tmp_path / "c.json", content)) == [
        Example("s", "t", {"cell_type": "Basal"})
    ]
    with pytest.raises(InputError, match="entry 1 has no key 'target'; the closest is 'targets'"):
        read_source_target(put(tmp_path / "c.json", [{"source": "s", "targets": "t"}]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"instruction": "a",]', r"a\.json:1:22: this is no JSON"),
        ("", r"a\.json:1:1: this is no JSON"),
        ("[" * 200_000, "is nested too deep"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text, "utf-8")
    with pytest.raises(InputError, match=message):
        read_alpaca(tmp_path / "a.json")


def test_a_line_that_is_no_json_is_refused_with_its_number(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"instruction": "a"}\n\n{"instruction": }\n', "utf-8")
    with pytest.raises(InputError, match=r"a\.jsonl:3:17: this is no JSON"):
        read_alpaca(tmp_path / "a.jsonl")


def test_two_files_that_would_get_one_name_are_refused(tmp_path):
    put(tmp_path / "a.json", ALPACA)
    (tmp_path / "a.jsonl").write_text(json.dumps(ALPACA[0]), "utf-8")
    with pytest.raises(InputError, match=r"'a.json' and 'a.jsonl' would both become 'a.examples"):
        import_tasks(tmp_path, tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read as text"):
        read_alpaca(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot be read as text"):
        read_alpaca(tmp_path / "none.json")


def test_predictions_are_written_as_cellhermes_has_them_ch_4(tmp_path):
    found = read_alpaca(put(tmp_path / "a.json", ALPACA[:2]))
    write_predictions(found, ["Yes", "Né"], path=tmp_path / "old.jsonl", rendering="legacy")
    old = (tmp_path / "old.jsonl").read_bytes()
    assert old == (
        b'{"prompt": "user\\n\\nDoes A act?\\nGene A\\nassistant\\n\\n", "label": "Yes", '
        b'"predict": "Yes"}\n'
        b'{"prompt": "user\\n\\nDoes B act?\\nassistant\\n\\n", "label": "No", '
        b'"predict": "N\\u00e9"}\n'
    )
    write_predictions(found, ["Yes", "No"], path=tmp_path / "new.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "new.jsonl").read_text().splitlines()]
    assert [line["prompt"] for line in lines] == ["Does A act?\nGene A\n", "Does B act?"]
    assert [list(line) for line in lines] == [["prompt", "label", "predict"]] * 2


def test_nothing_is_overwritten_unasked(tmp_path):
    found = [Example("p", "a")]
    for number, write in enumerate((
        lambda path, **more: write_predictions(found, ["a"], path=path, **more),
        lambda path, **more: write_examples(found, path, **more),
        lambda path, **more: write_alpaca(found, path, **more),
        lambda path, **more: write_dataset_info({"a": "a.json"}, path, **more),
    )):  # fmt: skip
        path = tmp_path / f"{number}.json"
        write(path)
        before = path.read_bytes()
        with pytest.raises(InputError, match="exists already"):
            write(path)
        write(path, overwrite=True)
        assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 4


def test_another_number_of_answers_than_examples_is_refused(tmp_path):
    with pytest.raises(InputError, match="There are 1 examples and 0 answers"):
        write_predictions([Example("p", "a")], [], path=tmp_path / "p.jsonl")


def test_a_data_set_is_announced_and_read_back_ch_8(tmp_path):
    write_dataset_info({"acts": "acts.json"}, tmp_path / "dataset_info.json")
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert info == {
        "acts": {
            "file_name": "acts.json",
            "formatting": "alpaca",
            "columns": {"prompt": "instruction", "query": "input", "response": "output"},
        }
    }
    assert read_dataset_info(tmp_path / "dataset_info.json") == {
        "acts.json": info["acts"]["columns"]
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is no mapping from data sets to files"),
        ({"a": 1}, "data set 'a' is no object but 1"),
        ({"a": {"filename": "x"}}, "has no key 'file_name'; the closest is 'filename'"),
        ({"a": {"file_name": "x", "formatting": "sharegpt"}}, "has the form 'sharegpt'"),
        ({"a": {"file_name": "x", "columns": {"messages": "m"}}}, "column 'messages' is not read"),
        ({"a": {"file_name": "x", "columns": "m"}}, "column 'columns' is not read"),
    ],
)
def test_a_data_set_of_another_form_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_dataset_info(put(tmp_path / "dataset_info.json", content))


def test_examples_go_out_as_alpaca_and_come_back(tmp_path):
    found = read_alpaca(put(tmp_path / "a.json", ALPACA[:2]))
    write_alpaca(found, tmp_path / "b.json")
    assert read_alpaca(tmp_path / "b.json") == found
    with pytest.raises(InputError, match="Example 1 has no answer"):
        write_alpaca([Example("p", None)], tmp_path / "c.json")
    assert not (tmp_path / "c.json").exists()


def test_a_folder_of_all_three_forms_is_imported(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    put(folder / "prediction.json", PREDICTION)
    put(folder / "acts.json", [{"q": "Does A act?", "a": "Yes"}])
    columns = {"prompt": "q", "response": "a"}
    put(folder / "dataset_info.json", {"acts": {"file_name": "acts.json", "columns": columns}})
    put(folder / "skin.json", [{"source": "s", "target": "t"}])
    (folder / "README.md").write_text("not read")
    done = import_tasks(folder, out)
    assert [(one.form, one.target.name, one.n) for one in done] == [
        ("alpaca", "acts.examples.jsonl", 1),
        ("cell2sentence", "prediction.yaml", 2),
        ("source-target", "skin.examples.jsonl", 1),
    ]
    task = load_task(out / "prediction.yaml")
    assert task.templates == tuple(PREDICTION["model_input"])
    assert not task.is_quoted
    assert json.loads((out / "acts.examples.jsonl").read_text()) == {
        "prompt": "Does A act?", "answer": "Yes", "instruction": "Does A act?", "input": "",
    }  # fmt: skip
    with pytest.raises(InputError, match="exists already"):
        import_tasks(folder, out)
    assert import_tasks(folder / "skin.json", out, overwrite=True)[0].n == 1


def test_nothing_is_written_if_one_file_cannot_be_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    put(tmp_path / "in" / "a.json", ALPACA)
    put(tmp_path / "in" / "b.json", [{"instrukt": "x"}])
    with pytest.raises(InputError, match=r"b\.json' is no prompt file and holds no examples"):
        import_tasks(tmp_path / "in", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"instructions": "x"}], "its keys are 'instructions'; the closest is 'instruction'"),
        ({"a": 1}, "its keys are 'a'"),
        ([], "it has no keys"),
        ("text", "it has no keys"),
    ],
)
def test_a_file_of_no_known_form_is_refused(tmp_path, content, message):
    put(tmp_path / "a.json", content)
    with pytest.raises(InputError, match=message):
        import_tasks(tmp_path, tmp_path)


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no JSON file"):
        import_tasks(tmp_path, tmp_path)
    with pytest.raises(InputError, match="There is no file or folder"):
        import_tasks(tmp_path / "none", tmp_path)


def test_an_imported_cell_of_no_gene_is_a_prompt_all_the_same(tmp_path):
    task = import_cell2sentence(put(tmp_path / "p.json", PREDICTION))
    empty = Names(np.empty(0, dtype=np.int32), GENES)
    assert "by 0 genes" in plain_text(task.prompt({"cell_sentence": empty}))

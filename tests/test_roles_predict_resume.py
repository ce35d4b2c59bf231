"""A paid model and a run that is killed: nothing is lost, swapped or paid for twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter

import anndata as ad
import numpy as np
import pytest

import celloquy as cq
from celloquy.errors import BackendError, InputError
from celloquy.io import write_h5ad
from celloquy.lm import EndpointOptions, load_endpoint
from celloquy.roles import PredictOptions
from labelled_cells import labelled_cells
from lm_server import chat, refused, serving

LABELS = ["even", "odd"]
N_TOP = 12
RUN = """
    import sys
    from pathlib import Path
    import celloquy as cq
    from celloquy.lm import EndpointOptions, load_endpoint

    folder, url = Path(sys.argv[1]), sys.argv[2]
    lm = load_endpoint(f"paid@{url}", options=EndpointOptions(
        store=folder / "answers.sqlite", concurrency=3, scoring="schema"))
    cq.predict(folder / "cells.h5ad", "cell_type", lm=lm, labels=["even", "odd"],
               out=folder / "out.h5ad",
               options=cq.roles.PredictOptions(n_top_genes=12, shard_size=8))
"""


def genes_of(said):
    return tuple(re.findall(r"\bGENE\d+\b", said))


def label_of(genes):
    """Answer by the genes that are named, so that a swapped row would show."""
    return LABELS[sum(int(name[4:]) for name in genes) % 2]


def answer(asked):
    return chat(json.dumps({"answer": label_of(genes_of(asked.said))}))


@pytest.fixture
def folder(tmp_path):
    write_h5ad(labelled_cells(8, seed=8), tmp_path / "cells.h5ad")
    return tmp_path


def expected_labels(folder):
    text = cq.sentences(ad.read_h5ad(folder / "cells.h5ad"), n_top_genes=N_TOP).text
    assert text.is_unique
    return [label_of(genes_of(one)) for one in text]


def predict(folder, server, **more):
    given = {"store": folder / "answers.sqlite", "concurrency": 3, "scoring": "schema"}
    lm = load_endpoint(f"paid@{server.url}", options=EndpointOptions(**(given | more)))
    return cq.predict(
        folder / "cells.h5ad", "cell_type", lm=lm, labels=LABELS, out=folder / "out.h5ad",
        options=PredictOptions(n_top_genes=N_TOP, shard_size=8),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_run_that_was_killed_goes_on_and_asks_nothing_twice_that_was_answered(folder):
    write_h5ad(labelled_cells(30, seed=8), folder / "cells.h5ad", overwrite=True)
    expected = expected_labels(folder)
    enough, answered = threading.Event(), []

    def slow(asked):
        time.sleep(0.02)
        answered.append(genes_of(asked.said))
        if len(answered) > 50:
            enough.set()
        return answer(asked)

    with serving(slow) as server:
        code = textwrap.dedent(RUN)
        run = subprocess.Popen([sys.executable, "-c", code, str(folder), server.url])
        assert enough.wait(60)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        time.sleep(0.2)  # what was under way ends
        before = len(server.asked)
        assert not (folder / "out.h5ad").exists()
        assert len(list((folder / "out.h5ad.parts").glob("part-*.safetensors"))) >= 2
        predict(folder, server)
        times = Counter(genes_of(one.said) for one in server.asked)
    assert before < 90
    assert len(times) == 90
    assert max(times.values()) <= 2
    assert len(server.asked) <= 90 + 3  # three requests were under way when it was killed
    written = ad.read_h5ad(folder / "out.h5ad")
    assert written.obs["cell_type_celloquy"].astype(str).tolist() == expected
    assert written.obs["cell_type_celloquy_score"].isna().all()
    assert not (folder / "out.h5ad.parts").exists()


def test_a_server_that_gives_up_in_the_middle_names_the_cell_and_keeps_the_rest(folder):
    expected, bad = expected_labels(folder), []

    def reply(asked):
        if len(bad) >= 13:
            return refused(400, "no more for today")
        bad.append(1)
        return answer(asked)

    with serving(reply) as server:
        with pytest.raises(BackendError, match=r"Cell 'cell8-\d+': .*400"):
            predict(folder, server, concurrency=1)
        kept = len(server.asked)
        bad.clear()
        found = predict(folder, server)
        assert len(server.asked) <= 24 + (kept - 13)
    assert found.labels.astype(str).tolist() == expected


def test_a_cap_in_the_middle_keeps_what_was_paid_for(folder):
    expected = expected_labels(folder)
    with serving(answer) as server:
        with pytest.raises(BackendError, match="cap of 350 tokens could be passed") as refusal:
            predict(folder, server, max_spent_tokens=350, concurrency=1)
        paid = len(server.asked)
        assert 0 < paid < 24
        assert f"{paid} answers of this run are kept" in refusal.value.hint
        found = predict(folder, server)
        assert len(server.asked) == 24
    assert found.labels.astype(str).tolist() == expected
    assert found.record["lm"]["closed_sets"] == "schema"


def test_answers_outside_of_the_set_become_unknown_each_in_its_own_row(folder):
    expected = np.array(expected_labels(folder), dtype=object)

    def reply(asked):
        genes = genes_of(asked.body["messages"][0]["content"])
        return chat("I cannot say.") if label_of(genes) == "odd" else answer(asked)

    with serving(reply) as server:
        found = predict(folder, server)
    expected[expected == "odd"] = "unknown"
    assert found.labels.astype(str).tolist() == expected.tolist()
    assert found.record["n_unanswered"] == int((expected == "unknown").sum())
    assert "no probabilities" in str(found)


def test_another_label_set_does_not_go_on_from_the_parts_of_the_first(folder):
    told = []

    def until_the_second_part(asked):
        told.append(asked)
        return answer(asked) if len(told) <= 8 else refused(400, "no")

    with serving(until_the_second_part) as server, pytest.raises(BackendError):
        predict(folder, server, concurrency=1)
    with serving(answer) as server:
        with pytest.raises(InputError, match="holds the parts of another run"):
            predict_other(folder, server)
        assert server.asked == []


def test_a_run_that_ended_before_its_first_part_is_in_no_other_runs_way(folder):
    with serving(lambda asked: refused(400, "no")) as server, pytest.raises(BackendError):
        predict(folder, server)
    assert (folder / "out.h5ad.parts" / "plan.json").exists()
    with serving(answer) as server:
        found = predict_other(folder, server)
    assert found.record["labels"] == ["even", "other"]
    assert not (folder / "out.h5ad.parts").exists()


def predict_other(folder, server):
    lm = load_endpoint(f"paid@{server.url}", options=EndpointOptions(scoring="schema"))
    return cq.predict(
        folder / "cells.h5ad", "cell_type", lm=lm, labels=["even", "other"],
        out=folder / "out.h5ad",
    )  # fmt: skip

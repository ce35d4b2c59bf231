"""New cells from a server: what leaves is told, shown as it is sent, and put back in order."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pytest

from celloquy.errors import BackendError
from celloquy.lm import EndpointOptions, load_endpoint
from celloquy.roles import GenerateOptions, generate, plan_generation
from celloquy.text import RankCurve
from decoder_models import GENES
from lm_server import chat, refused, serving

LINE = RankCurve("linear_log_rank", "log1p", slope=-1.0, intercept=3.0)


def options(**more):
    given = {"genes": GENES, "n_top_genes": 4, "rank_curve": LINE, **more}
    return GenerateOptions(**given)


def controls():
    cells = ad.AnnData(np.array([[5, 4, 3], [1, 2, 3]], dtype=np.float32))
    cells.obs_names, cells.var_names = ["a", "b"], GENES[:3]
    cells.obs["drug"] = ["imatinib", "erlotinib"]
    return cells


def told(server, **more):
    lm = load_endpoint(f"tiny@{server.url}", options=EndpointOptions(concurrency=1, **more))
    lines = []
    lm.tell, lm._has_told = lines.append, False
    return lm, lines


def test_a_dry_run_shows_the_first_request_byte_by_byte():
    with serving(lambda _: chat("CD3E CD4")) as server:
        lm, _ = told(server)
        fields = {"cell_type": "B cell"}
        shown = plan_generation("pseudo_cell", fields, n=3, lm=lm, seed=5, options=options())
        assert server.asked == []
        generate("pseudo_cell", fields, n=3, lm=lm, seed=5, options=options(temperature=1.0))
    assert json.loads(shown.rsplit("\n\n", 1)[1]) == server.asked[0].body
    assert "3 cells" in shown
    assert "Allowed answers" not in shown


def test_before_anything_leaves_the_line_names_the_cells_and_the_columns_of_controls():
    with serving(lambda _: chat("CD3E CD4")) as server:
        lm, lines = told(server)
        generate(
            "perturbation_response", {}, lm=lm,
            options=options(control=controls(), obs_fields={"perturbation": "drug"}, shard_size=1),
        )  # fmt: skip
    (line,) = lines
    assert "; 2 cells; " in line
    assert "of obs: drug" in line


def test_a_server_that_fails_names_the_cell():
    def reply(asked):
        bad = "erlotinib" in asked.said
        return refused(400, "no such thing") if bad else chat("CD3E CD4")

    with serving(reply) as server:
        lm, _ = told(server)
        with pytest.raises(BackendError, match=r"Cell 'generated-1'.*no such thing"):
            generate(
                "perturbation_response", {"perturbation": ["imatinib", "erlotinib"]}, lm=lm, n=2,
                options=options(control=controls(), shard_size=1),
            )  # fmt: skip

"""Try to teach celloquy-mini which genes a perturbation raises or lowers, beside baselines.

    python mini/try_perturbation_effect.py --data FOLDER --out effects/ [--steps 250]

Four folds hold out a quarter of the genes and a part of the perturbations at once, so that each
model answers for unseen genes of seen perturbations and for seen genes of unseen perturbations.
Prints balanced accuracy and macro-F1, and writes `effects/answers.tsv`, a row an answer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import LogisticRegression

import celloquy as cq
from celloquy.evaluation._perturbation_cells import contexts_of, read_real
from celloquy.knowledge import read_known_genes
from celloquy.roles import TextSource, encode_genes
from celloquy.tasks import load_task
from celloquy.text import plain_text
from celloquy.training import train
from judge_perturbation_effect import judged

MINI = Path(cq.__file__).parent / "lm" / "mini"
LABELS = ("up", "down", "none")
N_FOLDS, MOST, TEMPLATE, SEED = 4, 300, 2, 0
PENALTIES = (0.03, 0.3, 3.0)
SCREEN = "perturb_perturbench_devel_norman19_mcfaline23_500genes.h5ad"
RECIPE = """
model = {{ base = "{base}", max_tokens = 200 }}
data = {{ train = ["train.jsonl"], valid = ["valid.jsonl"], counts = "example" }}
evaluation = {{ every = 50, metric = "loss" }}
checkpoint.every = 1_000
run = {{ precision = "fp32", at_once = 32 }}

[optimiser]
learning_rate = {rate}
schedule = "linear"
warmup = 20
weight_decay = 0.05
beta2 = 0.98
batch_size = 32
epochs = 100
max_steps = {steps}
"""
STUDIES: tuple[dict[str, Any], ...] = (
    {"study": "Kang 2018", "file": "kang_ifnb_scgen_valid_counts_recovered.h5ad",
     "key": "condition", "control": "control", "context": "cell_type", "cells": "{}",
     "name": "interferon beta", "fold": 0},
    {"study": "Zhao 2021", "file": "drug_gbm_panobinostat_5patients_300genes.h5ad",
     "key": "condition", "control": "ctrl", "context": "patient_id",
     "cells": "glioblastoma of patient {}", "name": "panobinostat", "fold": 1},
    {"study": "Aissa 2021", "file": "drug_pc9_day11_erlotinib_vs_control.h5ad",
     "key": "condition", "control": "control", "context": None, "cells": "PC9 cell",
     "name": "erlotinib", "fold": 2},
    {"study": "Datlinger 2017", "file": "perturb_datlinger2017_jurkat_cropseq_2000hvg.h5ad",
     "key": "condition", "control": "unstimulated", "context": None, "cells": "Jurkat cell",
     "name": "T-cell receptor stimulation", "fold": 3},
    {"study": "Norman 2019", "file": SCREEN, "key": "perturbation", "control": "control",
     "context": "cell_type", "cells": "K562 cell", "name": "activation of {} by CRISPR",
     "where": ("dataset", "norman19")},
)  # fmt: skip


def main() -> None:
    """Make the table of effects, train and ask once a fold, and write all answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--base", type=Path, default=MINI, help="the model that is taught")
    parser.add_argument("--steps", type=int, default=250, help="steps of 32 examples a fold")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(N_FOLDS)))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    table = effects(asked.data / "cells", asked.out / "effects.tsv")
    told = {fold: taught(table, fold, asked=asked) for fold in asked.folds}
    kept = table[table["asked"]].reset_index(drop=True)
    genes = sorted(set(kept["gene"]))
    place = kept["gene"].map({gene: i for i, gene in enumerate(genes)}).to_numpy()
    vectors = {"celloquy-mini's gene vectors": own_vectors(genes, asked.base)[place],
               "MiniLM's vectors of gene names": minilm(genes)[place],
               "level of the gene in control cells": level(kept)}  # fmt: skip
    found = []
    for fold in asked.folds:
        learn, test = sides(kept, fold)
        rows = kept.iloc[test]
        answers = {"celloquy-mini, taught": told[fold],
                   "always the commonest": np.full(len(rows), shares(kept["effect"]).argmax()),
                   "the gene under other perturbations": elsewhere(table, rows, fold)}  # fmt: skip
        for name, known in vectors.items():
            answers[f"{name}, linear"] = linear(known, kept, learn=learn, test=test)
            if "vectors" in name:
                near = nearest(known, kept, learn=learn, test=test)
                answers[f"{name}, nearest 15"] = near
        question = np.where(rows["fold"] == fold, "unseen perturbation", "unseen gene")
        for method, labels in answers.items():
            found.append(rows.assign(question=question, method=method,
                                     answer=np.array(LABELS)[labels]))  # fmt: skip
    answered = pd.concat(found)
    says_nothing = answered["method"].str.startswith("the gene") & (
        answered["question"] == "unseen gene"
    )
    answered = answered[~says_nothing]
    answered.to_csv(asked.out / "answers.tsv", sep="\t", index=False)
    print(judged(answered))


def sides(table: pd.DataFrame, fold: int) -> tuple[Any, Any]:
    """Say which rows are learnt from, and which are asked: of one unseen thing, not of two."""
    unseen = (table[["gene_fold", "fold"]] == fold).sum(axis=1).to_numpy()
    return unseen == 0, np.flatnonzero(unseen == 1)


def effects(cells: Path, path: Path) -> pd.DataFrame:
    """Say of every measured gene what each perturbation does; `asked` marks examples.

    Up and down are genes that change at 5 % false discovery (Wilcoxon), at most 300 each; as
    many unchanged ones as the mean of both are asked, each of the level of a changed one in
    control cells, so that how well a gene is measured does not tell the answer.
    """
    if path.is_file():
        return pd.read_csv(path, sep="\t")
    known = set(read_known_genes(MINI / "genes.tsv").symbols)
    found = []
    for one in STUDIES:
        adata = cq.read(cells / one["file"])
        if "where" in one:
            column, value = one["where"]
            adata = adata[adata.obs[column].astype(str) == value]
        adata = adata[:, [name in known for name in adata.var_names]].copy()
        real = read_real(adata, perturbation_key=one["key"], context_key=one["context"])
        for context in contexts_of(real, control=one["control"]):
            for name, block in zip(context.perturbations, context.cells, strict=True):
                change = np.asarray(block.mean(axis=0)).ravel() - context.control
                label = np.where(change > 0, "up", "down").astype(object)
                label[~context.changed(block)] = "none"
                found.append(pd.DataFrame({
                    "study": one["study"], "cells": one["cells"].format(context.name),
                    "perturbation": one["name"].format(name.replace("+", " and ")),
                    "fold": one.get("fold", -1), "gene": real.genes, "effect": label,
                    "level": context.control, "asked": drawn(label, context.control),
                }))  # fmt: skip
    table = pd.concat(found, ignore_index=True)
    table = table[table.groupby(["study", "cells", "perturbation"])["asked"].transform("any")]
    screen = table["fold"] == -1
    table.loc[screen, "fold"] = dealt(table.loc[screen, "perturbation"])
    genes = np.unique(table["gene"])
    dealt_to = np.random.default_rng(SEED).permutation(len(genes)) % N_FOLDS
    table["gene_fold"] = dealt_to[np.searchsorted(genes, table["gene"])]
    table.to_csv(path, sep="\t", index=False)
    return table


def drawn(label: Any, level: Any) -> Any:
    """Choose the genes of one perturbation and kind of cells that are asked about."""
    rng = np.random.default_rng(SEED)
    sides = [rng.permutation(np.flatnonzero(label == one))[:MOST] for one in ("up", "down")]
    changed = rng.permutation(np.concatenate(sides))
    free = list(np.flatnonzero(label == "none"))
    for gene in changed[: -(-len(changed) // 2)]:
        if free:
            like = free.pop(int(np.abs(level[free] - level[gene]).argmin()))
            changed = np.append(changed, like)
    return np.isin(np.arange(len(label)), changed)


def dealt(names: pd.Series) -> Any:
    """Deal perturbations to folds, those that share a gene to one fold."""
    from scipy.sparse.csgraph import connected_components

    parts = [name.split(" of ")[1].removesuffix(" by CRISPR").split(" and ") for name in names]
    genes = sorted({gene for each in parts for gene in each})
    place = {gene: i for i, gene in enumerate(genes)}
    first, last = ([place[each[i]] for each in parts] for i in (0, -1))
    shape = (len(genes), len(genes))
    _, group = connected_components(sparse.coo_matrix((np.ones(len(parts)), (first, last)), shape))
    sizes = pd.Series([group[i] for i in first]).value_counts()
    load, fold_of = np.zeros(N_FOLDS), {}
    for one, size in sizes.items():
        fold_of[one] = int(load.argmin())
        load[fold_of[one]] += size
    return [fold_of[group[i]] for i in first]


def own_vectors(genes: list[str], base: Path) -> Any:
    """Give the model's own rows of its gene tokens."""
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(base).convert_tokens_to_ids([f"▁{gene}" for gene in genes])
    rows = load_file(base / "model.safetensors")["model.embed_tokens.weight"][ids]
    return rows.double().numpy()


def minilm(genes: list[str]) -> Any:
    """Give MiniLM's vectors of "Gene NAME"."""
    return encode_genes(genes, text=TextSource(lm=cq.load_lm("st:minilm"))).to_numpy()


def level(table: pd.DataFrame) -> Any:
    """Describe a gene by how much of it control cells have, and by powers of that."""
    one = table["level"].to_numpy()
    return np.stack([one, one**2, np.sqrt(one)], axis=1)


def linear(vectors: Any, table: pd.DataFrame, *, learn: Any, test: Any) -> Any:
    """Fit one weight of each direction for all, and one for each perturbation and kind of cells."""
    known = (vectors - vectors[learn].mean(axis=0)) / (vectors[learn].std(axis=0) + 1e-6)
    wide = np.hstack([known / np.sqrt(known.shape[1]), np.ones((len(known), 1))])
    blocks = [sparse.csr_matrix(wide)]
    for column in ("perturbation", "cells"):
        codes = pd.factorize(table["study"] + table[column])[0]
        one = sparse.csr_matrix(np.eye(codes.max() + 1)[codes])
        one = one[:, np.unique(codes[learn])]
        blocks.append(sparse.csr_matrix(_times(wide, one)) if column == "perturbation" else one)
    everything = sparse.csr_matrix(sparse.hstack(blocks))
    truth, rows = table["effect"].to_numpy(), np.flatnonzero(learn)
    inner = table["gene_fold"].to_numpy()[rows] == table["gene_fold"].to_numpy()[rows].max()
    scores = []
    for penalty in PENALTIES:
        head = _head(1 / penalty).fit(everything[rows[~inner]], truth[rows[~inner]])
        right = head.predict(everything[rows[inner]]) == truth[rows[inner]]
        scores.append(np.mean([right[truth[rows[inner]] == one].mean() for one in LABELS]))
    head = _head(1 / PENALTIES[int(np.argmax(scores))]).fit(everything[rows], truth[rows])
    return _codes(head.predict(everything[test]))


def _times(wide: Any, one: Any) -> Any:
    return sparse.hstack([sparse.diags(one[:, [i]].toarray().ravel()) @ sparse.csr_matrix(wide)
                          for i in range(one.shape[1])])  # fmt: skip


def _head(c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=300, class_weight="balanced")


def _codes(labels: Any) -> Any:
    return np.array([LABELS.index(one) for one in labels])


def shares(labels: pd.Series) -> Any:
    """Give the share of each label."""
    return np.array([max((labels == one).mean(), 1e-9) for one in LABELS])


def nearest(vectors: Any, table: pd.DataFrame, *, learn: Any, test: Any) -> Any:
    """Let the nearest genes vote, of the same perturbation if seen; rare labels count more."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    truth, names = _codes(table["effect"]), table["perturbation"].to_numpy()
    told = np.zeros(len(test), dtype=np.int64)
    for name in np.unique(names[test]):
        rows = np.flatnonzero(learn & (names == name))
        rows = rows if len(rows) else np.flatnonzero(learn)
        here = np.flatnonzero(names[test] == name)
        close = np.argsort(-unit[test[here]] @ unit[rows].T, axis=1, kind="stable")[:, :15]
        votes = np.eye(3)[truth[rows[close]]].sum(axis=1)
        told[here] = (votes / shares(table["effect"].iloc[rows])).argmax(axis=1)
    return told


def elsewhere(table: pd.DataFrame, rows: pd.DataFrame, fold: int) -> Any:
    """Answer what the gene mostly does under the perturbations that were seen."""
    seen = table[(table["fold"] != fold) & (table["gene_fold"] != fold)]
    prior = shares(seen["effect"])
    counts = pd.crosstab(seen["gene"], seen["effect"]).reindex(columns=list(LABELS), fill_value=0)
    votes = counts.reindex(rows["gene"], fill_value=0).to_numpy()
    told = (votes + prior) / prior / (votes.sum(axis=1, keepdims=True) + 1)
    told[:, 2] += 1e-9  # of a gene that was never seen
    return told.argmax(axis=1)


def taught(table: pd.DataFrame, fold: int, *, asked: argparse.Namespace) -> Any:
    """Teach the model the examples, and ask it; answers weigh more the rarer they were."""
    kept = table[table["asked"]]
    known, asked_of = sides(kept, fold)
    learn, test = kept[known], kept.iloc[asked_of]
    out: Path = asked.out / f"fold-{fold}"
    out.mkdir(exist_ok=True)
    held = learn["gene"].isin(sorted(set(learn["gene"]))[::12])
    for name, part in (("train", learn[~held]), ("valid", learn[held])):
        lines = [json.dumps({"prompt": prompt, "answer": effect})
                 for prompt, effect in zip(prompts(part), part["effect"], strict=True)]  # fmt: skip
        (out / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = out / "recipe.toml"
    base = asked.base.resolve()
    recipe.write_text(RECIPE.format(base=base, steps=asked.steps, rate=asked.rate), "utf-8")
    done = train(recipe, out / "run", device="cpu")
    print(f"fold {fold}: {len(learn):,} to learn from, {len(test):,} asked; best at step "
          f"{done.best_step}, loss {done.loss:.3f}", flush=True)  # fmt: skip
    if not (out / "logp.npy").is_file():
        lm = cq.load_lm(str(out / "run" / "model"))
        np.save(out / "logp.npy", lm.score(prompts(test), list(LABELS)).logp)
    return (np.load(out / "logp.npy") - np.log(shares(learn["effect"]))).argmax(axis=1)


def prompts(rows: pd.DataFrame) -> list[str]:
    """Write the question of each row, in one of the shorter wordings of the task."""
    task = load_task("perturbation_effect")
    return [
        plain_text(task.prompt(
            {"gene": gene, "perturbation": perturbation, "cells_from": cells}, template=TEMPLATE,
        ))
        for gene, perturbation, cells in zip(
            rows["gene"], rows["perturbation"], rows["cells"], strict=True
        )
    ]  # fmt: skip


if __name__ == "__main__":
    main()

"""What language models learn from, and how: corpora, recipes, adapters and checkpoints."""

from __future__ import annotations

from celloquy.training._corpus import build_corpus
from celloquy.training._corpus_read import Corpus, CorpusExample
from celloquy.training._examples import TrainingExample, read_training_examples
from celloquy.training._merge import merge
from celloquy.training._pairs import Pair, cell_pairs, read_pairs, write_pairs
from celloquy.training._recipe_corpus import CorpusRecipe, make_corpus_recipe, read_corpus_recipe
from celloquy.training._recipe_train import TrainRecipe, list_presets, preset_text, read_recipe
from celloquy.training._train import TrainingResult, train

__all__ = [
    "Corpus",
    "CorpusExample",
    "CorpusRecipe",
    "Pair",
    "TrainRecipe",
    "TrainingExample",
    "TrainingResult",
    "build_corpus",
    "cell_pairs",
    "list_presets",
    "make_corpus_recipe",
    "merge",
    "preset_text",
    "read_corpus_recipe",
    "read_pairs",
    "read_recipe",
    "read_training_examples",
    "train",
    "write_pairs",
]

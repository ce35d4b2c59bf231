"""What language models learn from, and how: corpora, recipes, adapters and checkpoints."""

from __future__ import annotations

from celloquy.training._corpus import build_corpus
from celloquy.training._corpus_read import Corpus, CorpusExample
from celloquy.training._examples import TrainingExample, read_training_examples
from celloquy.training._exchange import export_corpus, import_corpus
from celloquy.training._merge import merge
from celloquy.training._pairs import Pair, cell_pairs, read_pairs, write_pairs
from celloquy.training._recipe_corpus import CorpusRecipe, make_corpus_recipe, read_corpus_recipe
from celloquy.training._recipe_train import TrainRecipe, list_presets, preset_text, read_recipe
from celloquy.training._train import TrainingResult, train
from celloquy.training._vocabulary import AddedGenes, add_genes, save_adapter, trainable_tokens

__all__ = [
    "AddedGenes",
    "Corpus",
    "CorpusExample",
    "CorpusRecipe",
    "Pair",
    "TrainRecipe",
    "TrainingExample",
    "TrainingResult",
    "add_genes",
    "build_corpus",
    "cell_pairs",
    "export_corpus",
    "import_corpus",
    "list_presets",
    "make_corpus_recipe",
    "merge",
    "preset_text",
    "read_corpus_recipe",
    "read_pairs",
    "read_recipe",
    "read_training_examples",
    "save_adapter",
    "train",
    "trainable_tokens",
    "write_pairs",
]

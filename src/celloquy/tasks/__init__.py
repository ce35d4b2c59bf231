"""What is asked: tasks as files, with templates, parsers and metrics; knows no models."""

from __future__ import annotations

from celloquy.tasks._answers import Answer, Asked, ParsedAnswer
from celloquy.tasks._cell2sentence import import_cell2sentence
from celloquy.tasks._examples import (
    Example,
    read_alpaca,
    read_dataset_info,
    read_source_target,
    write_alpaca,
    write_dataset_info,
    write_examples,
)
from celloquy.tasks._files import list_tasks, load_task
from celloquy.tasks._import import Imported, import_tasks, write_task
from celloquy.tasks._inputs import Input
from celloquy.tasks._metrics import METRICS, Metric
from celloquy.tasks._parsers import PARSERS
from celloquy.tasks._predictions import write_predictions
from celloquy.tasks._quoting import quoted
from celloquy.tasks._reactivity import Reward, reactivity_reward
from celloquy.tasks._spoken import article, spoken_type
from celloquy.tasks._task import Task

__all__ = [
    "METRICS",
    "PARSERS",
    "Answer",
    "Asked",
    "Example",
    "Imported",
    "Input",
    "Metric",
    "ParsedAnswer",
    "Reward",
    "Task",
    "article",
    "import_cell2sentence",
    "import_tasks",
    "list_tasks",
    "load_task",
    "quoted",
    "reactivity_reward",
    "read_alpaca",
    "read_dataset_info",
    "read_source_target",
    "spoken_type",
    "write_alpaca",
    "write_dataset_info",
    "write_examples",
    "write_predictions",
    "write_task",
]

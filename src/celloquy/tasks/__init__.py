"""What is asked: tasks as files, with templates, parsers and metrics; knows no models."""

from __future__ import annotations

from celloquy.tasks._answers import Answer, Asked, ParsedAnswer
from celloquy.tasks._files import list_tasks, load_task
from celloquy.tasks._inputs import Input
from celloquy.tasks._metrics import METRICS, Metric
from celloquy.tasks._parsers import PARSERS
from celloquy.tasks._quoting import quoted
from celloquy.tasks._task import Task

__all__ = [
    "METRICS",
    "PARSERS",
    "Answer",
    "Asked",
    "Input",
    "Metric",
    "ParsedAnswer",
    "Task",
    "list_tasks",
    "load_task",
    "quoted",
]

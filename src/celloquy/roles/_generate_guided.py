"""How cells are drawn: as the model says, and away from the question without what is wanted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from celloquy.errors import InputError
from celloquy.lm._offers import refuse_guidance
from celloquy.roles._taught import reading_of
from celloquy.tasks import load_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celloquy.lm import LanguageModel
    from celloquy.roles._generate_options import GenerateOptions
    from celloquy.tasks import Task
    from celloquy.tasks._inputs import Value
    from celloquy.text import Prompt


@dataclass(frozen=True, eq=False)
class Contrast:
    """The question that cells are guided away from."""

    task: Task
    """It asks for the same, and does not say what is wanted."""
    template: int
    """Which of its templates asks."""

    def prompt(self, values: Mapping[str, Value]) -> Prompt:
        """Ask with those of some values that the task takes."""
        own = {one.name for one in self.task.asked_for}
        told = {name: value for name, value in values.items() if name in own}
        return self.task.prompt(told, template=self.template)

    def record(self) -> dict[str, str | int]:
        """Say which question it is, in plain values."""
        return {"name": self.task.name, "sha256": self.task.sha256, "template": self.template}


def guide(
    options: GenerateOptions, task: Task, lm: LanguageModel
) -> tuple[GenerateOptions, Contrast | None]:
    """Settle temperature and guidance scale, and find what cells are guided away from.

    Parameters
    ----------
    options
        How cells are generated; what they say wins over what the model says.
    task
        What is asked for.
    lm
        The model that writes.

    Returns
    -------
    The options with both, and the contrast; `None` where the prompt is asked alone.

    Raises
    ------
    InputError
        If guidance is asked for, and the model cannot be guided, or the task has no contrast, or
        one that cannot be asked.
    """
    reading = reading_of(lm)
    best = {} if reading is None else reading.drawing.get(task.name, {})
    if options.temperature is None:
        options = replace(options, temperature=best.get("temperature", 1.0))
    if options.guidance_scale is None:
        options = replace(options, guidance_scale=best.get("guidance_scale", 1.0))
    if options.guidance_scale == 1:
        return options, None
    if not getattr(lm, "can_guide", False):
        refuse_guidance(lm.name, options.limits)
    if not task.contrast:
        msg = f"Task {task.name!r} names no contrast, so that its cells cannot be guided."
        hint = "leave `guidance_scale` out, or take a task with `contrast:`, such as `pseudo_cell`."
        raise InputError(msg, hint=hint)
    contrast = _contrast_of(task)
    taught = {} if reading is None else reading.templates
    if taught and contrast.name not in taught:
        said = f"'{lm.name}' was never taught the task {contrast.name!r}, which guides its cells."
        warnings.warn(said, stacklevel=3)
    return options, Contrast(contrast, taught.get(contrast.name, 0))


def _contrast_of(task: Task) -> Task:
    """Load the contrast of a task; a file is looked for from the task's own folder on.

    Raises
    ------
    InputError
        If there is none, it asks the same, it is not answered with genes, or needs what the
        task is not asked with.
    """
    path = Path(task.source).parent / task.contrast
    said = f"The contrast {task.contrast!r} of task {task.name!r}"
    try:
        found = load_task(path if path.suffix else task.contrast)
    except InputError as error:
        msg = f"{said} cannot be read: {error}"
        raise InputError(msg, hint=error.hint) from error
    if found.templates == task.templates:
        msg = f"{said} asks in the same words, so that guidance would change nothing."
        raise InputError(msg, hint="name the task that asks for the genes of a cell of any type.")
    if found.answer.kind != task.answer.kind:
        msg = f"{said} is answered with a {found.answer.kind}, and not with {task.answer.kind}."
        raise InputError(msg, hint="name a task that asks for the genes of a cell.")
    known = {one.name for one in task.asked_for}
    needed = (one.name for one in found.asked_for if one.default is None)
    missing = next((name for name in needed if name not in known), None)
    if missing is not None:
        msg = f"{said} needs a value for {missing!r}, which is no input of that task."
        raise InputError(msg, hint="give that input a default, or name another `contrast:`.")
    return found

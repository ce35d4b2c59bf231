"""What is sent to a server: prompts as messages, and questions as JSON."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from celloquy.lm._endpoint_spend import MESSAGE_TOKENS, Tokens, estimate_tokens
from celloquy.text import Field, JSONSchema, OneOf, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celloquy.lm._endpoint_options import Api, EndpointOptions
    from celloquy.lm._protocol import Limits
    from celloquy.text import Constraint, Prompt, Segment

    Messages = list[dict[str, str]]
    Body = dict[str, Any]

PATHS = {"chat": "/chat/completions", "completions": "/completions"}
_SAID_BACK = 200
_MARK = re.compile(r"<(?=[|/A-Za-z_])")
_SEEDS = 1 << 31


def as_data(text: str) -> str:
    r"""Write a value of the user's metadata as data, between quotation marks, on one line.

    What could be read as a mark of who speaks, such as ``<|im_end|>``, is written as JSON writes
    a character by its number. A value that is quoted already stays as it is.

    Examples
    --------
    >>> print(as_data("lung"), as_data('"lung"'), as_data("<|im_end|>"))
    "lung" "lung" "\u003c|im_end|>"
    """
    return _MARK.sub(r"\\u003c", text if _is_quoted(text) else json.dumps(text, ensure_ascii=False))


def _is_quoted(text: str) -> bool:
    try:
        return text.startswith('"') and isinstance(json.loads(text), str)
    except ValueError:
        return False


def _said(segment: Segment) -> str:
    if not isinstance(segment, Field):
        return segment.text
    if segment.is_bare:
        return _MARK.sub("< ", one_line(segment.text))
    return as_data(segment.text)


def as_messages(prompt: Prompt | str) -> Messages:
    """Write a prompt as messages: one for each run of segments of the same role."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    messages: Messages = []
    for segment in prompt:
        if messages and messages[-1]["role"] == segment.role:
            messages[-1]["content"] += _said(segment)
        else:
            messages.append({"role": segment.role, "content": _said(segment)})
    return [message for message in messages if message["content"]]


def as_text(prompt: Prompt | str) -> str:
    """Write a prompt as plain text."""
    return prompt if isinstance(prompt, str) else "".join(map(_said, prompt))


def question(prompt: Prompt | str, *, model: str, api: Api, more: str = "") -> Body:
    """Ask for what follows a prompt.

    Parameters
    ----------
    prompt
        As segments, or as plain text.
    model
        Name of the model.
    api
        ``"chat"`` or ``"completions"``.
    more
        Words to put after the prompt.
    """
    if api == "completions":
        return {"model": model, "prompt": as_text(prompt) + more}
    messages = as_messages(prompt)
    if more:
        if not messages or messages[-1]["role"] != "user":
            messages.append({"role": "user", "content": ""})
        messages[-1]["content"] += more
    return {"model": model, "messages": messages}


def closed_question(
    prompt: Prompt | str, answers: Sequence[str], *, model: str, options: EndpointOptions
) -> Body:
    """Ask for one of some answers, by a schema and in words."""
    listed = json.dumps(list(answers), ensure_ascii=False)
    words = (
        f"\n\nAllowed answers: {listed}\n"
        'Reply with exactly one of them, as JSON: {"answer": "..."}\n'
    )
    body = question(prompt, model=model, api=options.api, more=words)
    longest = max(estimate_tokens(answer) for answer in answers)
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": list(answers)}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    return body | {
        "max_tokens": 2 * longest + 32 + options.thinking_tokens,
        "temperature": 0,
        "response_format": _schema_format(schema, is_strict=True),
    }


def asked_again(body: Body, wrong: str) -> Body:
    """Ask the same once more, and say what was wrong."""
    words = "That is none of the allowed answers. Reply with exactly one of them, as JSON."
    if "prompt" in body:
        return body | {"prompt": f"{body['prompt']}{wrong[:_SAID_BACK]}\n{words}\n"}
    before = [{"role": "assistant", "content": wrong[:_SAID_BACK]}] if wrong.strip() else []
    messages = [*body["messages"], *before, {"role": "user", "content": words}]
    return body | {"messages": messages}


def open_question(
    prompt: Prompt | str,
    constraint: Constraint | None,
    *,
    seed: int,
    limits: Limits,
    model: str,
    options: EndpointOptions,
) -> Body:
    """Ask for an answer in the model's own words, or in a form where the server enforces it."""
    if isinstance(constraint, OneOf):
        body = closed_question(prompt, constraint.answers, model=model, options=options)
    else:
        body = question(prompt, model=model, api=options.api)
        body["max_tokens"] = limits.max_new_tokens + options.thinking_tokens
        if isinstance(constraint, JSONSchema):
            schema = dict(constraint.schema)
            body["response_format"] = _schema_format(schema, is_strict=False)
    body |= {"temperature": limits.temperature, "seed": seed % _SEEDS}
    if limits.top_p is not None:
        body["top_p"] = limits.top_p
    if limits.top_k is not None:
        body["top_k"] = limits.top_k
    return body


def _schema_format(schema: dict[str, Any], *, is_strict: bool) -> dict[str, Any]:
    described = {"name": "answer", "schema": schema, "strict": is_strict}
    return {"type": "json_schema", "json_schema": described}


def exact_chat(prompt: Prompt | str, answer: str, *, model: str, ends: bool) -> Body:
    """Ask for the log-probabilities of an answer that is given (vLLM's protocol)."""
    messages = as_messages(prompt)
    if messages and messages[-1]["role"] == "assistant":
        messages[-1]["content"] += answer
    else:
        messages.append({"role": "assistant", "content": answer})
    return {
        "model": model,
        "messages": messages,
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,
        "add_generation_prompt": False,
        "continue_final_message": not ends,
    }


def exact_text(texts: Sequence[str], *, model: str) -> Body:
    """Ask for the log-probabilities of texts that are given (``echo``)."""
    return {
        "model": model,
        "prompt": list(texts),
        "max_tokens": 1,
        "temperature": 0,
        "echo": True,
        "logprobs": 1,
    }


def with_answer(prompt: Prompt | str, answer: str, *, ends: bool) -> tuple[str, int]:
    r"""Write an answer after a plain prompt; give the text and where the answer begins.

    A space stands between them, and counts as the answer's, unless the prompt is empty or ends
    a line. A line break ends the answer.

    Examples
    --------
    >>> with_answer("It is a", "T cell", ends=True), with_answer("It is a ", "B", ends=False)
    (('It is a T cell\n', 7), ('It is a B', 7))
    """
    before = as_text(prompt)
    before = before.removesuffix(" ")
    between = " " if before and not before[-1].isspace() else ""
    return before + between + answer + "\n" * ends, len(before)


def most_tokens(body: Body) -> Tokens:
    """Tokens that a question may take at most: what it says, as estimated, and its answer."""
    said: Any = body["messages"] if "messages" in body else body["prompt"]
    if isinstance(said, str):
        sent = estimate_tokens(said)
    elif all(isinstance(one, str) for one in said):
        sent = sum(map(estimate_tokens, said))
        return Tokens(sent, len(said) * int(body["max_tokens"]))
    else:
        sent = sum(estimate_tokens(one["content"]) + MESSAGE_TOKENS for one in said)
    if "response_format" in body:
        sent += estimate_tokens(json.dumps(body["response_format"]))
    return Tokens(sent, int(body["max_tokens"]))

"""One face for the tokenizers that people have: texts in, all of their token ids out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class TextTokenizer:
    """Any tokenizer, asked for all tokens of a text: nothing truncated, nothing padded.

    Parameters
    ----------
    tokenizer
        A tokenizer of `transformers`, a `tokenizers.Tokenizer`, or a function from one text
        to its token ids (special tokens included, if the model sees any).

    Raises
    ------
    InputError
        If it is none of these.

    Examples
    --------
    >>> TextTokenizer(str.split).encode(["CD3E LYZ"])
    [['CD3E', 'LYZ']]
    """

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 (libraries without types)
        self._encode: Callable[[Sequence[str], bool], list[list[int]]]
        if hasattr(tokenizer, "encode_batch") and hasattr(tokenizer, "to_str"):
            whole = type(tokenizer).from_str(tokenizer.to_str())
            whole.no_truncation()
            whole.no_padding()
            self._encode = lambda texts, special: [
                encoding.ids
                for encoding in whole.encode_batch(list(texts), add_special_tokens=special)
            ]
        elif hasattr(tokenizer, "convert_tokens_to_ids"):
            self._encode = lambda texts, special: _ask_transformers(tokenizer, texts, special)
        elif callable(tokenizer):
            self._encode = lambda texts, _special: [list(tokenizer(text)) for text in texts]
        else:
            msg = f"A {type(tokenizer).__name__} cannot be used as a tokenizer."
            hint = "pass a tokenizer of transformers or tokenizers, or a function from text to ids."
            raise InputError(msg, hint=hint)

    def encode(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """Give each text's token ids, with or without the special tokens around it."""
        return self._encode(texts, special) if len(texts) else []


def _ask_transformers(tokenizer: Any, texts: Sequence[str], special: bool) -> list[list[int]]:  # noqa: ANN401, FBT001
    found: list[list[int]] = tokenizer(
        list(texts),
        add_special_tokens=special,
        truncation=False,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )["input_ids"]
    return found


def as_text_tokenizer(tokenizer: Any) -> TextTokenizer:  # noqa: ANN401 (libraries without types)
    """Give the one face to a tokenizer that does not have it yet.

    Raises
    ------
    InputError
        If it is no tokenizer.
    """
    return tokenizer if isinstance(tokenizer, TextTokenizer) else TextTokenizer(tokenizer)

"""Sentence encoders (``st:``): masked pooling of token vectors, our own loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from celloquy._runtime import closest
from celloquy.errors import BackendError, InputError
from celloquy.lm._offers import refuse_verb
from celloquy.lm._plan import plan_prompts
from celloquy.lm._protocol import Capability, Pooling, PromptPlan, TooLong
from celloquy.lm._suffixes import with_suffixes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from celloquy._runtime._devices import Precision
    from celloquy.lm._batches import Runner, TokenBatch
    from celloquy.lm._modules import Modules
    from celloquy.text import Prompt

_POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "last", "max")


@dataclass(eq=False)
class SentenceEncoder:
    """A sentence encoder that was loaded: texts in, one vector each out.

    A text's vector does not depend on which others it is embedded with, nor on their order.
    """

    name: str
    """How it was asked for."""
    revision: str
    """SHA-256 of its weights and of the settings that change its answers."""
    device: str
    """Where it runs."""
    precision: Precision
    """How exactly it computes."""
    max_tokens: int
    """Tokens that one prompt may take."""
    modules: Modules
    """How it pools."""
    backbone: torch.nn.Module
    """The network that gives token vectors."""
    tokenizer: Any
    """A tokenizer of the package tokenizers, without padding or cutting."""
    dense: tuple[tuple[torch.Tensor, torch.Tensor | None, str], ...]
    """Weight, bias and activation of each linear map after pooling."""
    runner: Runner
    """What makes and runs batches."""
    capabilities: frozenset[Capability] = frozenset({"embed"})
    """What it can be asked for."""

    @property
    def n_layers(self) -> int:
        """Layers of the backbone."""
        return int(cast("Any", self.backbone).config.num_hidden_layers)

    @property
    def default_pooling(self) -> Pooling:
        """How token vectors become one unless asked otherwise."""
        return self.modules.pooling

    def plan(
        self,
        prompts: Sequence[Prompt | str],
        *,
        n_answer_tokens: int = 0,
        too_long: TooLong = "refuse",
    ) -> PromptPlan:
        """Count the tokens of prompts, and cut gene names where they do not fit.

        Parameters
        ----------
        prompts
            Prompts as segments, or plain texts; length ``n``.
        n_answer_tokens
            Tokens to keep free; a sentence encoder writes no answer.
        too_long
            ``"refuse"`` stops at a prompt that does not fit even without gene names;
            ``"cut"`` cuts the end of plain texts, and counts it.
        """
        return plan_prompts(
            prompts,
            self._ids,
            max_tokens=self.max_tokens,
            too_long=too_long,
            n_answer_tokens=n_answer_tokens,
            name=f"'{self.name}'",
        )

    def _ids(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Give the token ids of texts, special tokens included."""
        prefixed = [self.modules.prefix + text for text in texts]
        if self.modules.is_lowercased:
            prefixed = [text.lower() for text in prefixed]
        encodings = self.tokenizer.encode_batch_fast(prefixed)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]

    def embed(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        *,
        suffixes: Sequence[Sequence[Prompt | str]] | None = None,
        pooling: Pooling | None = None,
        layer: int | None = None,
        too_long: TooLong = "refuse",
    ) -> NDArray[np.float32]:
        """Give one vector a prompt, or one a suffix of each prompt.

        Equal prompts are embedded once. Padding is never counted.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        suffixes
            What follows each prompt, ``s`` for each; a vector is given for each prompt with each
            of its suffixes.
        pooling
            How token vectors become one; `None` takes the checkpoint's own.
        layer
            Layer to take token vectors from, 0 = the input, -1 = the last; `None` takes the
            checkpoint's own output. Other layers skip the linear maps that follow pooling.
        too_long
            See :meth:`plan`.

        Returns
        -------
        Vectors in the order of the prompts, shape ``(n, d)``, or ``(n, s, d)`` with suffixes; of
        length 1 if the checkpoint says so.

        Raises
        ------
        InputError
            If there is no such pooling or layer.
        BackendError
            If a vector is not finite, or one prompt does not fit into memory.
        """
        pooling = pooling or self.modules.pooling
        if pooling not in _POOLINGS:
            msg = f"There is no pooling {pooling!r}{closest(pooling, _POOLINGS)}."
            raise InputError(msg, hint=f"choose one of: {', '.join(_POOLINGS)}.")
        if suffixes is not None:
            whole = with_suffixes(prompts, suffixes)
            vectors = self.embed(whole, pooling=pooling, layer=layer, too_long=too_long)
            return vectors.reshape(len(suffixes), -1, vectors.shape[1])
        if layer is not None and not -self.n_layers - 1 <= layer <= self.n_layers:
            msg = f"There is no layer {layer}: '{self.name}' has {self.n_layers}."
            raise InputError(msg, hint=f"choose 0 to {self.n_layers}, or -1 for the last.")
        plan = prompts if isinstance(prompts, PromptPlan) else self.plan(prompts, too_long=too_long)
        places: dict[bytes, int] = {}
        inverse = [places.setdefault(ids.tobytes(), len(places)) for ids in plan.ids]
        distinct = [np.frombuffer(key, dtype=np.int32) for key in places]
        vectors = self.runner.run(
            distinct,
            lambda batch: self._forward(batch, pooling, layer),
            n_dimensions=self.n_dimensions(layer=layer),
        )
        if not np.isfinite(vectors).all():
            msg = f"'{self.name}' gave a vector that is not finite, at {self.precision}."
            raise BackendError(msg, hint='pass `precision="fp32"`, or check the weights.')
        return vectors[inverse] if inverse else vectors

    def score(self, *_asked: object, **_options: object) -> NoReturn:
        """Refuse: a sentence encoder knows no probabilities of texts.

        Raises
        ------
        InputError
            Always.
        """
        refuse_verb(self.name, "score")

    def generate(self, *_asked: object, **_options: object) -> NoReturn:
        """Refuse: a sentence encoder writes nothing.

        Raises
        ------
        InputError
            Always.
        """
        refuse_verb(self.name, "generate")

    def n_dimensions(self, *, layer: int | None = None) -> int:
        """Dimensions of a vector."""
        if self.dense and layer is None:
            return int(self.dense[-1][0].shape[0])
        return int(cast("Any", self.backbone).config.hidden_size)

    def _forward(
        self, batch: TokenBatch, pooling: Pooling, layer: int | None
    ) -> NDArray[np.float32]:
        """Run one batch; shape ``(n, d)``."""
        import torch

        with torch.inference_mode():
            mask = torch.from_numpy(batch.mask).to(self.device)
            output = self.backbone(
                input_ids=torch.from_numpy(batch.ids).to(self.device),
                attention_mask=mask.long(),
                output_hidden_states=layer is not None,
            )
            hidden = output.last_hidden_state if layer is None else output.hidden_states[layer]
            vectors = pool(hidden.float(), mask, pooling=pooling)  # (n, d)
            if layer is None:
                for weight, bias, activation in self.dense:
                    vectors = torch.nn.functional.linear(vectors, weight, bias)
                    vectors = getattr(torch, activation)(vectors) if activation else vectors
            if self.modules.is_normalised:
                vectors = torch.nn.functional.normalize(vectors)
            return cast("NDArray[np.float32]", vectors.cpu().numpy())


def pool(hidden: torch.Tensor, mask: torch.Tensor, *, pooling: Pooling) -> torch.Tensor:
    """Make one vector of each prompt's token vectors, without its padding.

    Parameters
    ----------
    hidden
        Token vectors; shape ``(n, tokens, d)``.
    mask
        Whether a token is real, padding on the right; shape ``(n, tokens)``.
    pooling
        ``"mean"``, ``"max"``, ``"cls"`` (the first token) or ``"last"`` (the last real one).
    """
    import torch

    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1]
    if pooling == "max":
        return hidden.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)
    return (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)

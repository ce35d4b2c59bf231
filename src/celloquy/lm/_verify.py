"""Whether a network, asked piece by piece, answers as the whole model does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celloquy.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from celloquy.lm._network import CausalNetwork

N_TOKENS = 12
_SPLIT = 7
_HINT = "use GPT-2, GPT-NeoX, Llama, Mistral, Qwen3 or Gemma, or a server (`openai:`)."


def refuse_unknown_flow(network: CausalNetwork, *, has_cache: bool = True) -> None:
    """Refuse a network whose own logits differ from those it gives piece by piece.

    A few tokens are run through the whole model, through the network and its head apart, and
    through the network with cached keys and values. A family that scales its logits, or takes
    positions from something else than what it is told, is found out here.

    Parameters
    ----------
    network
        The network.
    has_cache
        Whether tokens can be read on top of cached ones; if not, that is not tried.

    Raises
    ------
    CheckpointError
        If the numbers differ.
    """
    import torch

    n_rows = int(network.model.get_input_embeddings().weight.shape[0])
    ids = torch.randint(n_rows, (1, N_TOKENS), generator=torch.Generator().manual_seed(0))
    ids = ids.to(network.device)
    try:
        with torch.inference_mode():
            whole = network.model(input_ids=ids, use_cache=False).logits.float()
            alone = network.logits(network.hidden(ids))
            apart = network.logits(_in_two(network, ids)) if has_cache else whole[:, _SPLIT:]
    except (ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        msg = _message(network, f"it cannot be asked piece by piece ({error})")
        raise CheckpointError(msg, hint=_HINT) from error
    _refuse_other(network, alone, whole, "its logits are scaled")
    _refuse_other(network, apart, whole[:, _SPLIT:], "it reads cached tokens otherwise")


def _in_two(network: CausalNetwork, ids: torch.Tensor) -> torch.Tensor:
    """Read the last tokens on top of the cached first ones; their output."""
    import torch

    cache = network.new_cache()
    network.hidden(ids[:, :_SPLIT], cache=cache)
    places = torch.arange(N_TOKENS, device=ids.device)[None]
    new = places[:, _SPLIT:]
    may_see = places[:, None, :] <= new[:, :, None]
    return network.hidden(
        ids[:, _SPLIT:], positions=new, may_see=may_see, key_positions=places, cache=cache
    )


def _refuse_other(
    network: CausalNetwork, found: torch.Tensor, expected: torch.Tensor, why: str
) -> None:
    """Refuse numbers that differ by more than rounding.

    Raises
    ------
    CheckpointError
        If they do.
    """
    import torch

    tolerance = 1e-3 if network.dtype == torch.float32 else 5e-2
    scale = float(expected.abs().max())
    if float((found - expected).abs().max()) > tolerance * max(scale, 1e-6):
        raise CheckpointError(_message(network, why), hint=_HINT)


def _message(network: CausalNetwork, why: str) -> str:
    return f"Networks of the family {network.config.model_type!r} are not known here: {why}."

"""torch.compile where it works, and a plain word where it does not."""

import logging

import torch

from skylike.embeddings.training.objectives.objective import Objective

logger = logging.getLogger(__name__)


def compile_networks(objective: Objective, device: str) -> bool:
    """Let torch compile the networks of an objective; names and values of the weights stay.

    The kernels are made in the first step: about a minute for a ResNet50.

    Parameters
    ----------
    device
        Where the objective is.

    Returns
    -------
    bool
        False, with a warning, where torch cannot compile: training goes on without.
    """
    try:
        _try_compiler(device)
    except (RuntimeError, OSError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        logger.warning(
            "torch.compile does not work on %s (%s); training goes on without it: install a C++ "
            "compiler (and triton for a GPU), or set compile = false in the recipe",
            device,
            reason,
        )
        return False
    for network in objective.networks():
        network.compile()
    return True


def _try_compiler(device: str) -> None:
    """Compile and run the smallest kernel; its errors are those of the whole network."""
    doubled = torch.compile(lambda values: values * 2.0 + 1.0)
    doubled(torch.ones(8, device=device))

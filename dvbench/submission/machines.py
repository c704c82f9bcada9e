"""Says on which machine numbers repeat, and how far they may differ on another one."""

from __future__ import annotations

from dvbench.errors import counted, plain
from dvbench.results import Environment, Result

SAME_MACHINE = 0.01  # tolerance of numbers that repeat to the bit
OTHER_MACHINE = 0.05  # of numbers that were rounded in another way, which retraining can amplify
LEAST_CORRELATION = 0.95  # rank correlation of the same values on two machines
ROUNDING = ("numpy", "torch")  # packages whose version may change how numbers are rounded


def repeats(claimed: Environment, here: Environment) -> bool:
    """Whether numbers repeat to the bit: on a CPU, with the same processor and the same packages that round.

    On a GPU threads add numbers in another order each time. Trained twice on one H200, GPT-2's perplexities, which were
    some thousands, differed by up to 0.2%, and their differences by 2%.
    """
    return here.device == "cpu" and _kind(claimed) == _kind(here)


def tolerance(stated: float | None, claimed: Environment, here: Environment) -> float:
    """Return the tolerance of a verification, or if none is stated, that of the two machines."""
    if stated is not None:
        return stated
    return SAME_MACHINE if repeats(claimed, here) else OTHER_MACHINE


def remark(results: list[Result], here: Environment) -> str | None:
    """Say how many results come from another kind of machine, and from which; None if there are none."""
    others = [result.environment for result in results if not repeats(result.environment, here)]
    if not others:
        return None
    kinds = sorted({_title(environment) for environment in others})
    return (
        f"{counted(len(others), 'cell')} computed on {' and on '.join(kinds)}, and here is {_title(here)}: scores may "
        f"differ by {OTHER_MACHINE:g}, values are compared by their ranks and their scores"
    )


def _kind(environment: Environment) -> tuple[str, ...]:
    versions = (environment.packages.get(package, "") for package in ROUNDING)
    return environment.platform, environment.processor, environment.device, *versions


def _title(environment: Environment) -> str:
    device = environment.processor if environment.device == "cpu" else environment.device
    versions = (f"{package} {environment.packages.get(package, 'of unknown version')}" for package in ROUNDING)
    return plain(f"{device} with {' and '.join(versions)}")

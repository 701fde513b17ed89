"""Speed of the same steps in PyTorch, on this machine's processors."""

import math
import time
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch

from zerotrain.bench.torch_network import Form, Tensor, TorchNetwork
from zerotrain.bench.workload import Workload
from zerotrain.golden.fast.threads import thread_count
from zerotrain.spec.registers import Baseline, UpdateRule

__all__ = ["TorchSteps", "torch_seconds"]

#: Copies of the parameters that go through one call, where all go together.
_CHUNK = 32


class TorchSteps:
    """RGE and CGE steps of a workload, float32.

    Parameters
    ----------
    work : Workload
        Network, batch, parameters and settings.
    form : Form
        How TT layers are contracted.
    together : bool
        Whether copies of the parameters go through one call, or one after the other.
    """

    def __init__(self, work: Workload, form: Form, *, together: bool) -> None:
        formats, session = work.session.chip.formats, work.session
        self.work, self.form, self.together = work, form, together
        self.network = TorchNetwork(session.config.network, form)
        self.theta = torch.tensor(work.theta, dtype=torch.float32) / (1 << formats.weight.frac_bits)
        self.momentum = torch.zeros_like(self.theta)
        self.x = torch.tensor(work.x, dtype=torch.float32) / (1 << formats.input.frac_bits)
        self.labels = torch.tensor(work.labels)
        self.mu_rge = work.settings["rge"].mu / (1 << formats.weight.frac_bits)
        self.mu_cge = 0.5**formats.cge_mu_shift

    def losses(self, thetas: Tensor) -> Tensor:
        """Losses of copies of the parameters."""
        return self.network.losses(thetas, self.x, self.labels, together=self.together)

    def rge(self) -> None:
        """One step: N perturbed copies, and theta itself if the preset's baseline is that."""
        settings = self.work.settings["rge"]
        signs = torch.randint(0, 2, (settings.queries, len(self.theta))) * 2.0 - 1.0
        found = self.losses(self.theta + self.mu_rge * signs)
        base = found.mean()
        if settings.baseline == Baseline.BASE:
            base = self.losses(self.theta[None])[0]
        self._update("rge", (found - base) @ signs / (settings.queries * self.mu_rge))

    def differences(self, begin: int, end: int, base: Tensor) -> Tensor:
        """Loss differences of the parameters ``begin`` to ``end - 1``, each raised by mu."""
        thetas = self.theta.repeat(end - begin, 1)
        thetas[torch.arange(end - begin), torch.arange(begin, end)] += self.mu_cge
        return self.losses(thetas) - base

    def cge(self) -> None:
        """One step, difference by difference."""
        base, gradient = self.losses(self.theta[None])[0], torch.zeros_like(self.theta)
        for begin, end in self.chunks():
            gradient[begin:end] = self.differences(begin, end, base) / self.mu_cge
        self._update("cge", gradient)

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Ranges of parameters whose differences are taken in one call."""
        d = len(self.theta)
        yield from ((begin, min(d, begin + _CHUNK)) for begin in range(0, d, _CHUNK))

    def _update(self, kind: Any, gradient: Tensor) -> None:
        """Momentum and step; the step's size takes no part in its time."""
        settings = self.work.settings[kind]
        self.momentum = self.momentum * (settings.decay / 16) + gradient
        sign = settings.update_rule == UpdateRule.SIGN
        self.theta = self.theta - 1e-4 * (self.momentum.sign() if sign else self.momentum)


def _fastest(step: Callable[[], Any], seconds: float) -> float:
    """Wall seconds of the fastest of at least three runs, which are repeated for a while."""
    found: list[float] = []
    while len(found) < 3 or sum(found) < seconds:
        begin = time.perf_counter()
        step()
        found.append(time.perf_counter() - begin)
    return min(found)


@torch.no_grad()
def torch_seconds(work: Workload, seconds: float) -> dict[str, Any]:
    """Wall seconds of an RGE and of a CGE step, in the fastest form and with as many threads as
    are fastest.

    All are tried with RGE steps, for about ``seconds`` in all. A CGE step may take a minute: only
    a chunk of its differences is timed, and scaled up to all of them (``cge_share``).
    """
    threads = torch.get_num_threads()
    tried: dict[tuple[Form, bool, int], float] = {}
    choices = list(product(Form, (False, True), {1, thread_count()}))
    try:
        for form, together, count in choices:
            torch.set_num_threads(count)
            steps = TorchSteps(work, form, together=together)
            steps.rge()
            tried[form, together, count] = _fastest(steps.rge, seconds / len(choices))
        form, together, count = min(tried, key=lambda key: tried[key])
        steps = TorchSteps(work, form, together=together)
        (begin, end), base = next(steps.chunks()), torch.zeros(())
        chunk = math.inf
        for threads_tried in {1, thread_count()}:
            torch.set_num_threads(threads_tried)
            found = _fastest(lambda: steps.differences(begin, end, base), seconds / 8)
            chunk = min(chunk, found)
    finally:
        torch.set_num_threads(threads)
    share = end / len(steps.theta)
    return {
        "form": f"{form}, {'copies together' if together else 'one copy at a time'}",
        "threads": count,
        "rge": round(tried[form, together, count], 6),
        "cge": round(chunk / share, 6),
        "cge_share": round(share, 4),
    }

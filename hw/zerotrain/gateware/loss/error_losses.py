"""Losses that are sums over the errors of the outputs."""

from amaranth import Module, Mux, Value

from zerotrain.gateware.arithmetic import pipe, saturate
from zerotrain.gateware.loss.logits import LogitSweep
from zerotrain.gateware.loss.loss import SweptLoss
from zerotrain.spec.network import Loss

__all__ = ["ERROR_LOSSES"]


class SquaredErrorLoss(SweptLoss):
    """Sum over the outputs of squared errors.

    Golden model: :func:`zerotrain.golden.loss.squared_error_loss`.

    What is kept of a logit is its error. ``correct`` stays 0.
    """

    #: A difference beyond 2**31 (17 fraction bits) saturates every loss.
    _ROOT_WIDTH = 32

    def _make_sweep(self) -> LogitSweep:
        width = self._chip.formats.logit.width + 1
        return self._sweep(self._chip, twice=False, outputs_per_row=True, kept_width=width)

    def _turns(self) -> Value:
        return self.n_outputs

    def _pass_losses(self, m: Module, sweep: LogitSweep) -> tuple[Value, Value, Value]:
        f = self._chip.formats
        shift, delta_shift = 17 - f.logit.frac_bits, 17 - f.dlogit.frac_bits
        terms: list[Value] = []
        for k in range(self._chip.loss_ways):
            # Stage 1: error of the logit. Stage 2: with its difference. Stage 3: clamp.
            error = pipe(
                m,
                Mux(
                    sweep.base,
                    sweep.word[k] - self._target(k).as_signed(),
                    sweep.kept[k].as_signed(),
                ),
                1,
                f"error{k}",
                reset_less=True,
            )
            m.d.comb += sweep.keep[k].eq(error)
            dz = pipe(m, Mux(sweep.base, 0, sweep.word[k]), 1, f"dz{k}", reset_less=True)
            d = pipe(m, (error << shift) + (dz << delta_shift), 1, f"d{k}", reset_less=True)
            root = pipe(m, saturate(d, self._ROOT_WIDTH)[0], 1, f"root{k}", reset_less=True)
            # Stages 4 and 5: the registers inside DSP blocks. Stage 6: shift and mask.
            product = pipe(m, root * root, 2, f"square{k}", reset_less=True)
            active = pipe(m, sweep.active[k], 5, f"active{k}", reset_less=True)
            terms.append(pipe(m, Mux(active, product >> 14, 0), 1, f"term{k}", reset_less=True))
        valid = pipe(m, sweep.valid, 6, "valid")
        end = pipe(m, sweep.last & sweep.end, 6, "end", reset_less=True)
        done, total = self._lane_sum(
            m, "sum", valid, end, terms, self._groups * self._chip.output_depth
        )
        return done, total, Value.cast(0)[:1]


#: Units by the loss that they compute.
ERROR_LOSSES: dict[Loss, type[SweptLoss]] = {Loss.MEAN_SQUARED_ERROR: SquaredErrorLoss}

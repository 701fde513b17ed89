"""docs/numerics.md in plain Python integers: loops, dictionaries, no NumPy, no sharing of work.

Written from the text, sentence by sentence, for tiny networks; slow on purpose. A tensor is a dict
from index tuples to ints. One sample at a time.
"""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Loss, Network
from zerotrain.spec.registers import Baseline, Saturation, UpdateRule
from zerotrain.spec.step import StepSettings
from zerotrain.spec.tables import EXP2, LN2, LOG2, LOG2E

Tensor = dict[tuple[int, ...], int]
Logits = Sequence[int]
Target = Any  # a label, or a list of targets


class Plain:
    """Computes steps of one network; ``flags`` collects the sticky saturation bits."""

    def __init__(
        self,
        network: Network,
        formats: Formats,
        groups: tuple[tuple[int, ...], ...],
        lanes: int,
        degree: int,
    ) -> None:
        self.network, self.f, self.groups = network, formats, groups
        self.lanes, self.degree = lanes, degree
        self.flags = Saturation(0)

    # Section 1

    def saturate(self, value: int, width: int, kind: Saturation) -> int:
        low, high = -(2 ** (width - 1)), 2 ** (width - 1) - 1
        if low <= value <= high:
            return value
        self.flags |= kind
        return low if value < low else high

    def requantize(self, acc: int, shift: int, width: int, kind: Saturation) -> int:
        assert shift >= 0
        return self.saturate((acc + ((1 << shift) >> 1)) >> shift, width, kind)

    # Parameters

    def cores(self, theta: Sequence[int], n: int) -> list[Tensor]:
        layer, p, out = self.network.layers[n], self.network.block(n, 0).offset, []
        for k, (r_k, m, n_k, r_next) in enumerate(layer.core_shapes):
            core: Tensor = {}
            if k < layer.n_tt_cores // 2:
                for j, b, a, i in product(range(n_k), range(r_next), range(r_k), range(m)):
                    core[a, i, j, b] = theta[p]
                    p += 1
            else:
                for j, a, b, i in product(range(n_k), range(r_k), range(r_next), range(m)):
                    core[a, i, j, b] = theta[p]
                    p += 1
            out.append(core)
        return out

    def bias(self, theta: Sequence[int], n: int) -> list[int]:
        layer = self.network.layers[n]
        if not layer.bias:
            return [0] * layer.n_outputs
        return list(theta[self.network.block(n, None).slice])

    def input_format(self, n: int) -> QFormat:
        return self.f.preact if n else self.f.input

    def is_last(self, n: int) -> bool:
        return n == len(self.network.layers) - 1

    # Section 2

    def merge(self, layer: Layer, cores: list[Tensor], lo: int, hi: int) -> Tensor:
        if hi - lo == 1:
            return cores[lo]
        mid = (lo + hi) // 2
        left, right = self.merge(layer, cores, lo, mid), self.merge(layer, cores, mid, hi)
        r, m, n = layer.all_ranks, layer.out_modes, layer.in_modes
        i2_size, j2_size = prod(m[mid:hi]), prod(n[mid:hi])
        out: Tensor = {}
        for a, i, j in product(range(r[lo]), range(prod(m[lo:mid])), range(prod(n[lo:mid]))):
            for i2, j2, c in product(range(i2_size), range(j2_size), range(r[hi])):
                acc = sum(left[a, i, j, b] * right[b, i2, j2, c] for b in range(r[mid]))
                out[a, i * i2_size + i2, j * j2_size + j2, c] = self.requantize(
                    acc, self.f.weight.frac_bits, self.f.weight.width, Saturation.MERGE
                )
        return out

    def difference_weights(self, layer: Layer, cores: list[Tensor]) -> Tensor:
        """``W'`` of section 4 in the place of the full merge."""
        d = layer.n_tt_cores
        mid = d // 2
        left, right = self.merge(layer, cores, 0, mid), self.merge(layer, cores, mid, d)
        rank, m, n = layer.all_ranks[mid], layer.out_modes, layer.in_modes
        i2_size, j2_size = prod(m[mid:]), prod(n[mid:])
        out: Tensor = {}
        for c, j1, j2 in product(range(layer.n_outputs), range(prod(n[:mid])), range(j2_size)):
            c1, c2 = divmod(c, i2_size)
            acc = 0
            for b in range(rank):
                acc += left[0, c1, j1, b] * right[b, c2, j2, 0]
                acc -= left[0, 0, j1, b] * right[b, 0, j2, 0]
            if c > 0:
                acc = self.requantize(
                    acc, self.f.weight.frac_bits, self.f.weight.width, Saturation.MERGE
                )
            out[0, c, j1 * j2_size + j2, 0] = acc
        return out

    # Section 3

    def layer(
        self, theta: Sequence[int], n: int, x: list[int], groups: tuple[int, ...]
    ) -> list[int]:
        """Pre-activation or logits."""
        layer, cores, f = self.network.layers[n], self.cores(theta, n), self.f
        v: Tensor = {(j, 0, 0): value for j, value in enumerate(x)}
        source, i_done, hi = self.input_format(n), 1, layer.n_tt_cores
        target = f.logit if self.is_last(n) else f.preact
        kind = Saturation.LOGIT if self.is_last(n) else Saturation.PREACT
        for size in reversed(groups):
            lo = hi - size
            m = self.merge(layer, cores, lo, hi)
            n_i, n_j = prod(layer.out_modes[lo:hi]), prod(layer.in_modes[lo:hi])
            r_lo, r_hi = layer.all_ranks[lo], layer.all_ranks[hi]
            acc: Tensor = {}
            for rest, i, done, a in product(
                range(prod(layer.in_modes[:lo])), range(n_i), range(i_done), range(r_lo)
            ):
                acc[rest, i * i_done + done, a] = sum(
                    m[a, i, j, b] * v[rest * n_j + j, done, b]
                    for j in range(n_j)
                    for b in range(r_hi)
                )
            if lo > 0:
                shift = f.weight.frac_bits + source.frac_bits - f.tt.frac_bits
                v = {
                    index: self.requantize(value, shift, f.tt.width, Saturation.SCRATCH)
                    for index, value in acc.items()
                }
                source = f.tt
            hi, i_done = lo, i_done * n_i
        shift = f.weight.frac_bits + source.frac_bits - target.frac_bits
        bias = self.bias(theta, n)
        y = [
            self.requantize(acc[0, i, 0] + (bias[i] << source.frac_bits), shift, target.width, kind)
            for i in range(layer.n_outputs)
        ]
        return y

    def act(self, y: int, n: int) -> int:
        return max(y, 0) if self.network.layers[n].activation == Activation.RELU else y

    def logits(self, theta: Sequence[int], x: list[int]) -> list[int]:
        for n in range(len(self.network.layers)):
            y = self.layer(theta, n, x, self.groups[n])
            x = [self.act(value, n) for value in y]
        return y

    # Section 4

    def to_tt(self, sums: Tensor, source: QFormat) -> Tensor:
        shift = self.f.weight.frac_bits + source.frac_bits - self.f.tt.frac_bits
        return {
            index: self.requantize(acc, shift, self.f.tt.width, Saturation.SCRATCH)
            for index, acc in sums.items()
        }

    def right_sum(self, theta: Sequence[int], n: int, k: int, v: list[int]) -> Tensor:
        """The sum that defines ``R_k[J_<=k, I_>k, b]``, for k < h."""
        layer, cores = self.network.layers[n], self.cores(theta, n)
        r, m, nn, d = layer.all_ranks, layer.out_modes, layer.in_modes, layer.n_tt_cores
        h = d // 2
        if k == h - 1:
            half, after = self.merge(layer, cores, h, d), prod(nn[h:])
            return {
                (before, i, b): sum(half[b, i, j, 0] * v[before * after + j] for j in range(after))
                for before in range(prod(nn[:h]))
                for i in range(prod(m[h:]))
                for b in range(r[h])
            }
        right = self.right_partial(theta, n, k + 1, v)
        core, after = cores[k + 1], prod(m[k + 2 :])
        return {
            (before, i * after + i_after, a): sum(
                core[a, i, j, b] * right[before * nn[k + 1] + j, i_after, b]
                for j in range(nn[k + 1])
                for b in range(r[k + 2])
            )
            for before in range(prod(nn[: k + 1]))
            for i in range(m[k + 1])
            for i_after in range(after)
            for a in range(r[k + 1])
        }

    def right_partial(self, theta: Sequence[int], n: int, k: int, v: list[int]) -> Tensor:
        first = k == self.network.layers[n].n_tt_cores // 2 - 1
        return self.to_tt(
            self.right_sum(theta, n, k, v), self.input_format(n) if first else self.f.tt
        )

    def left_sum(self, theta: Sequence[int], n: int, k: int, v: list[int]) -> Tensor:
        """The sum that defines ``l_k[I_<k, a, J_>=k]``, for k >= h."""
        layer, cores = self.network.layers[n], self.cores(theta, n)
        r, m, nn, h = layer.all_ranks, layer.out_modes, layer.in_modes, layer.n_tt_cores // 2
        after = prod(nn[k:])
        if k == h:
            half = self.merge(layer, cores, 0, h)
            return {
                (i, b, rest): sum(
                    half[0, i, j, b] * v[j * after + rest] for j in range(prod(nn[:h]))
                )
                for i in range(prod(m[:h]))
                for b in range(r[h])
                for rest in range(after)
            }
        left, core = self.left_partial(theta, n, k - 1, v), cores[k - 1]
        return {
            (before * m[k - 1] + i, b, rest): sum(
                core[a, i, j, b] * left[before, a, j * after + rest]
                for a in range(r[k - 1])
                for j in range(nn[k - 1])
            )
            for before in range(prod(m[: k - 1]))
            for i in range(m[k - 1])
            for b in range(r[k])
            for rest in range(after)
        }

    def left_partial(self, theta: Sequence[int], n: int, k: int, v: list[int]) -> Tensor:
        first = k == self.network.layers[n].n_tt_cores // 2
        return self.to_tt(
            self.left_sum(theta, n, k, v), self.input_format(n) if first else self.f.tt
        )

    def environment(self, theta: Sequence[int], n: int, k: int, v: list[int]) -> Tensor:
        """``mu * E_k[a, j_k, b, I_<k, I_>k]``."""
        layer, cores, f = self.network.layers[n], self.cores(theta, n), self.f
        r, m, nn, d = layer.all_ranks, layer.out_modes, layer.in_modes, layer.n_tt_cores
        h = d // 2
        before, after = prod(m[:k]), prod(m[k + 1 :])
        acc: Tensor = {}
        indices = product(range(r[k]), range(nn[k]), range(r[k + 1]), range(before), range(after))
        whole = f.tt
        if d == 1:
            whole = self.input_format(n)
            for a, j, b, lo, hi in indices:
                acc[a, j, b, lo, hi] = v[j] << f.weight.frac_bits
        elif k == 0:
            if h == 1:
                whole = self.input_format(n)
            total = self.right_sum(theta, n, 0, v)
            for a, j, b, lo, hi in indices:
                acc[a, j, b, lo, hi] = total[j, hi, b]
        elif k < h:
            merged = self.merge(layer, cores, 0, k)
            right = self.right_partial(theta, n, k, v)
            for a, j, b, lo, hi in indices:
                acc[a, j, b, lo, hi] = sum(
                    merged[0, lo, jj, a] * right[jj * nn[k] + j, hi, b]
                    for jj in range(prod(nn[:k]))
                )
        elif k < d - 1:
            merged = self.merge(layer, cores, k + 1, d)
            left = self.left_partial(theta, n, k, v)
            n_after = prod(nn[k + 1 :])
            for a, j, b, lo, hi in indices:
                acc[a, j, b, lo, hi] = sum(
                    left[lo, a, j * n_after + jj] * merged[b, hi, jj, 0] for jj in range(n_after)
                )
        else:
            if h == d - 1:
                whole = self.input_format(n)
            total = self.left_sum(theta, n, k, v)
            for a, j, b, lo, hi in indices:
                acc[a, j, b, lo, hi] = total[lo, a, j]
        shift = f.weight.frac_bits + whole.frac_bits + f.cge_mu_shift - f.delta.frac_bits
        return {
            index: self.requantize(value, shift, f.delta.width, Saturation.SCRATCH)
            for index, value in acc.items()
        }

    def cge_outputs(self, theta: Sequence[int], x: list[int]) -> tuple[list[int], list[list[int]]]:
        """Logits, and ``dz`` of every parameter, of one sample."""
        f, network = self.f, self.network
        ys: list[list[int]] = []
        out: list[list[int]] = []
        inputs: list[list[int]] = []
        v = x
        for n in range(len(network.layers)):
            y = self.layer(theta, n, v, self.groups[n])
            inputs.append(v)
            ys.append(y)
            v = [self.act(value, n) for value in y]
        above: dict[int, Tensor] = {}
        for n in range(1, len(network.layers)):
            layer, cores = network.layers[n], self.cores(theta, n)
            softmax = network.loss == Loss.SOFTMAX_CROSS_ENTROPY
            if self.is_last(n) and softmax and layer.n_tt_cores >= 2:
                above[n] = self.difference_weights(layer, cores)
            else:
                above[n] = self.merge(layer, cores, 0, layer.n_tt_cores)
        for n, layer in enumerate(network.layers):
            for k in range(layer.n_tt_cores):
                e = self.environment(theta, n, k, inputs[n])
                r, m, nn = layer.all_ranks, layer.out_modes, layer.in_modes
                after = prod(m[k + 1 :])
                # In the order of storage: j and i outermost and innermost, the ranks between.
                ranks = list(product(range(r[k]), range(r[k + 1])))
                if k < layer.n_tt_cores // 2:
                    ranks.sort(key=lambda pair: pair[1])
                for j, (a, b), i in product(range(nn[k]), ranks, range(m[k])):
                    dy = {
                        (lo * m[k] + i) * after + hi: e[a, j, b, lo, hi]
                        for lo in range(prod(m[:k]))
                        for hi in range(after)
                    }
                    out.append(self.propagate(n, dy, ys, above))
            if layer.bias:
                for i in range(layer.n_outputs):
                    mu = 1 << (f.delta.frac_bits - f.cge_mu_shift)
                    out.append(self.propagate(n, {i: mu}, ys, above))
        return ys[-1], out

    def propagate(
        self, n: int, dy: dict[int, int], ys: list[list[int]], above: dict[int, Tensor]
    ) -> list[int]:
        """``dz`` from the difference of layer n's pre-activation, given where it is not zero."""
        f = self.f
        if self.is_last(n):
            shift = f.weight.frac_bits + f.delta.frac_bits - f.dlogit.frac_bits
            dz = [0] * self.network.n_outputs
            for c, value in dy.items():
                acc = value << f.weight.frac_bits
                dz[c] = self.requantize(acc, shift, f.logit.width, Saturation.LOGIT)
            return dz
        s = f.delta.frac_bits - f.preact.frac_bits
        dh = {
            i: self.act((ys[n][i] << s) + value, n) - self.act(ys[n][i] << s, n)
            for i, value in dy.items()
        }
        last = self.is_last(n + 1)
        target = f.dlogit if last else f.delta
        width = f.logit.width if last else f.delta.width
        kind = Saturation.LOGIT if last else Saturation.SCRATCH
        shift = f.weight.frac_bits + f.delta.frac_bits - target.frac_bits
        up = [
            self.requantize(
                sum(above[n + 1][0, c, i, 0] * value for i, value in dh.items()),
                shift, width, kind,
            )
            for c in range(self.network.layers[n + 1].n_outputs)
        ]  # fmt: skip
        return up if last else self.propagate(n + 1, dict(enumerate(up)), ys, above)

    # Section 5

    def softmax_loss(
        self, z: Logits, label: int, dz: Logits | None = None, ref: int | None = None
    ) -> int:
        f = self.f
        u = [value << (20 - f.logit.frac_bits) for value in z]
        if dz is not None:
            u = [a + (b << (20 - f.dlogit.frac_bits)) for a, b in zip(u, dz, strict=True)]
        ref = max(u) if ref is None else ref
        s = 0
        for value in u:
            t = ((value - ref) * LOG2E) >> 14
            i, fraction = t >> 18, t & (2**18 - 1)
            k, r = fraction >> 12, fraction & 4095
            m = EXP2[k] + (((EXP2[k + 1] - EXP2[k]) * r) >> 12)
            s += m << i if i >= 0 else (m >> -i if -i <= 31 else 0)
        if s >= 2**32:
            s = 2**32 - 1
            self.flags |= Saturation.LOSS
        n = s.bit_length() - 1
        q = (s << (31 - n)) & (2**31 - 1)
        k, r = q >> 25, (q >> 13) & 4095
        lg = ((n - 20) << 20) + LOG2[k] + (((LOG2[k + 1] - LOG2[k]) * r) >> 12)
        return ref - u[label] + ((lg * LN2) >> 16)

    def squared_error(self, z: Logits, targets: Logits, dz: Logits | None = None) -> int:
        f = self.f
        total = 0
        for c in range(len(z)):
            d = (z[c] - targets[c]) << (17 - f.logit.frac_bits)
            if dz is not None:
                d += dz[c] << (17 - f.dlogit.frac_bits)
            total += (d * d) >> 14
        return total

    def sample_loss(
        self, z: Logits, target: Target, dz: Logits | None = None, base: Logits = ()
    ) -> int:
        if self.network.loss == Loss.MEAN_SQUARED_ERROR:
            return self.squared_error(z, target, dz)
        ref = None if dz is None else max(base) << (20 - self.f.logit.frac_bits)
        return self.softmax_loss(z, target, dz, ref)

    def batch_loss(self, losses: list[int]) -> int:
        total = 0
        for start in range(0, len(losses), self.lanes):
            total = self.saturate(
                total + sum(losses[start : start + self.lanes]), self.f.loss.width, Saturation.LOSS
            )
        return total

    # Section 6

    def loss(self, theta: list[int], xs: list[list[int]], targets: list[Target]) -> int:
        return self.batch_loss(
            [self.sample_loss(self.logits(theta, x), t) for x, t in zip(xs, targets, strict=True)]
        )

    def evaluate(
        self, theta: list[int], xs: list[list[int]], targets: list[Target]
    ) -> tuple[int, int]:
        correct = 0
        if self.network.loss == Loss.SOFTMAX_CROSS_ENTROPY:
            for x, t in zip(xs, targets, strict=True):
                z = self.logits(theta, x)
                correct += z.index(max(z)) == t
        return self.loss(theta, xs, targets), correct

    def rge_step(
        self,
        s: StepSettings,
        theta: list[int],
        momentum: list[int],
        lfsr: int,
        xs: list[list[int]],
        targets: list[Target],
    ) -> tuple[list[int], list[int], int, list[int]]:
        losses: list[int] = []
        bits: list[list[int]] = []
        if s.baseline == Baseline.BASE:
            losses.append(self.loss(theta, xs, targets))
        for _ in range(s.queries):
            row = []
            for _ in theta:
                bit, lfsr = self.lfsr_step(lfsr)
                row.append(bit)
            bits.append(row)
            width = self.f.weight.width
            w = [
                self.saturate(t + s.mu if bit else t - s.mu, width, Saturation.PERTURB)
                for t, bit in zip(theta, row, strict=True)
            ]
            losses.append(self.loss(w, xs, targets))
        if s.baseline == Baseline.BASE:
            diffs = [value - losses[0] for value in losses[1:]]
        else:
            diffs = [s.queries * value - sum(losses) for value in losses]
        gradient = [
            sum(d if bits[i][p] else -d for i, d in enumerate(diffs)) for p in range(len(theta))
        ]
        return *self.update(s, theta, momentum, gradient), lfsr, losses

    def environment_losses(
        self, theta: list[int], xs: list[list[int]], targets: list[Target]
    ) -> list[int]:
        columns = []
        for x, t in zip(xs, targets, strict=True):
            z, dzs = self.cge_outputs(theta, x)
            columns.append([self.sample_loss(z, t), *(self.sample_loss(z, t, dz, z) for dz in dzs)])
        return [self.batch_loss(list(row)) for row in zip(*columns, strict=True)]

    def raised_losses(
        self, theta: list[int], xs: list[list[int]], targets: list[Target]
    ) -> list[int]:
        losses = [self.loss(theta, xs, targets)]
        for p, t in enumerate(theta):
            raised = t + (1 << (self.f.weight.frac_bits - self.f.cge_mu_shift))
            raised = self.saturate(raised, self.f.weight.width, Saturation.PERTURB)
            losses.append(self.loss([*theta[:p], raised, *theta[p + 1 :]], xs, targets))
        return losses

    def cge_step(
        self,
        s: StepSettings,
        theta: list[int],
        momentum: list[int],
        xs: list[list[int]],
        targets: list[Target],
        *,
        environments: bool = True,
    ) -> tuple[list[int], list[int], list[int]]:
        found = self.environment_losses if environments else self.raised_losses
        losses = found(theta, xs, targets)
        gradient = [value - losses[0] for value in losses[1:]]
        return *self.update(s, theta, momentum, gradient), losses

    def update(
        self, s: StepSettings, theta: list[int], momentum: list[int], gradient: list[int]
    ) -> tuple[list[int], list[int]]:
        width = self.f.momentum.width
        new_theta, new_momentum = [], []
        for t, v, g in zip(theta, momentum, gradient, strict=True):
            gq = self.requantize(g, s.gradient_shift, width, Saturation.GRADIENT)
            if s.decay == 0:
                v = gq
            else:
                kept = self.requantize(v * s.decay, 4, 64, Saturation.GRADIENT)
                v = self.saturate(kept + gq, width, Saturation.GRADIENT)
            if s.update_rule == UpdateRule.SIGN:
                delta = s.step_mantissa * ((v > 0) - (v < 0))
            else:
                delta = self.requantize(v * s.step_mantissa, s.step_shift, 64, Saturation.GRADIENT)
            new_momentum.append(v)
            new_theta.append(self.saturate(t - delta, self.f.weight.width, Saturation.PARAMETER))
        return new_theta, new_momentum

    # Section 7

    def lfsr_step(self, state: int) -> tuple[int, int]:
        taps = {32: (22, 2, 1), 33: (20,), 40: (38, 21, 19), 48: (47, 21, 20), 64: (63, 61, 60)}[
            self.degree
        ]
        state = state or 1
        fresh = state & 1
        for tap in taps:
            fresh ^= state >> tap & 1
        return state & 1, state >> 1 | fresh << (self.degree - 1)

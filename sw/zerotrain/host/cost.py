"""What a network and its whole training cost, in the plan's estimated cycles."""

from dataclasses import dataclass
from typing import Any

from zerotrain.compiler.plan import Plan
from zerotrain.config.config import Config
from zerotrain.host.session import Session

__all__ = ["ScheduleCost", "cost_report"]

#: Measurements of the metric are priced by so many samples: data sets need not be there.
_MEASURED = 1000


@dataclass(frozen=True, slots=True)
class ScheduleCost:
    """Cost of a schedule.

    Attributes
    ----------
    steps, cycles : dict
        Steps of every stage at most (a plateau ends the RGE stage early), and their cycles.
    measurements : int
        How often the metric is measured: at the start, at every ``evaluate_every``-th step and at
        the last.
    measurement_cycles : int
        Cycles of all measurements for every 1,000 samples that they are of.
    """

    steps: dict[str, int]
    cycles: dict[str, int]
    measurements: int
    measurement_cycles: int

    @classmethod
    def of(cls, config: Config, plan: Plan) -> "ScheduleCost | None":
        """The cost of a configuration's training, if it has one."""
        training, chip, network = config.training, plan.chip, plan.network
        if training is None:
            return None
        stages = {"rge": training.rge, "cge": training.cge}
        steps = {kind: stage.steps for kind, stage in stages.items() if stage is not None}
        if training.extensions:
            steps[list(steps)[-1]] += sum(training.extensions)
        rge: Any = {"queries": config.queries, "baseline": config.baseline}
        cycles: dict[str, int] = {
            kind: count * plan.step_cost(kind, batch=training.batch, **rge).cycles
            for kind in plan.step_kinds
            for count in [steps.get(kind)]
            if count is not None
        }
        total, every = sum(steps.values()), training.evaluate_every
        measurements = 1 + total // every + (total % every > 0)
        batch = chip.layout.max_batch(
            sample_depth=chip.sample_depth,
            target_depth=chip.target_depth,
            n_inputs=network.n_inputs,
            n_targets=network.n_targets,
        )
        whole = plan.step_cost("evaluate", batch=batch).cycles
        return cls(steps, cycles, measurements, measurements * whole * _MEASURED // batch)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "steps_at_most": self.steps,
            "estimated_cycles": self.cycles,
            "measurements": self.measurements,
            "measurement_cycles_per_1000_samples": self.measurement_cycles,
        }


def cost_report(session: Session) -> dict[str, Any]:
    """Plan, chip and schedule as plain values: ``plan.json`` without what is a board's."""
    chip, config = session.chip, session.config
    report = session.plan.report(queries=config.queries, baseline=config.baseline) | {
        "chip": chip.to_dict(),
        "config_hash": f"{chip.config_hash:#010x}",
    }
    schedule = ScheduleCost.of(config, session.plan)
    return report | ({"schedule": schedule.to_dict()} if schedule is not None else {})

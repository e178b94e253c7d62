"""Runs of single generated tokens, each executed; what they share is laid out once."""

from dataclasses import dataclass, field, replace

from hybridsim.engines import Engine
from hybridsim.errors import CapacityError
from hybridsim.measure.token_energy import Drawn, TemplateEnergy, drawn
from hybridsim.plan import Timeline
from hybridsim.strategies import (
    Choice,
    Job,
    NetworkStrategy,
    Schedule,
    TokenTemplate,
    carry_out,
)


@dataclass(frozen=True)
class TokenRun:
    """One generated token for each sequence of a job."""

    job: Job
    schedule: Schedule
    timeline: Timeline
    energy: TemplateEnergy | None
    """Of its template, where it has one."""

    def drawn(self) -> Drawn | None:
        """Return what the token draws, or None where the machine has no energies."""
        if self.energy is None:
            return drawn(self.job, self.schedule, self.timeline)
        return self.energy.at(self.job, self.schedule, self.timeline.makespan)


@dataclass
class TokenRuns:
    """Tokens of one job after any number of past ones.

    Tokens that are alike but for some durations share a template, as long as the strategy allows.
    """

    job: Job
    strategy: NetworkStrategy
    run: Engine
    _templates: dict[Choice, TemplateEnergy] = field(default_factory=dict)

    def at(self, past: int) -> TokenRun:
        """Return the run of a token, of the fastest choice that the strategy leaves open.

        Raises:
            CapacityError: Something does not fit the memory that it needs.
        """
        own = replace(self.job, tokens=1, past=past)
        if not TokenTemplate.serves(self.strategy):
            return self._carried_out(own, self.strategy.schedule(own), None)
        found: list[TokenRun] = []
        problem = None
        for choice in self.strategy.candidates(own):
            try:
                schedule = self._schedule(own, choice)
            except CapacityError as error:
                problem = error
                continue
            found.append(self._carried_out(own, schedule, self._templates[choice]))
        if problem is not None and not found:
            raise problem
        return min(found, key=lambda one: one.timeline.makespan)

    def _carried_out(
        self, job: Job, schedule: Schedule, energy: TemplateEnergy | None
    ) -> TokenRun:
        done = carry_out(schedule, job.machine, self.run)
        return TokenRun(job, done.schedule, done.timeline, energy)

    def _schedule(self, job: Job, choice: Choice) -> Schedule:
        """Return the schedule of a token, from the template of a choice if it is of its form."""
        known = self._templates.get(choice)
        schedule = known.template.schedule_at(job.past) if known else None
        if schedule is None:
            template = TokenTemplate(self.strategy, job, choice)
            self._templates[choice] = TemplateEnergy(template)
            schedule = template.schedule
        return schedule

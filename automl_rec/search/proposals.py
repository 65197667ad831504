"""What to run next: what was interrupted, then baselines, then suggestions; nothing twice."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_rec.errors import Infeasible
from automl_rec.search.enumeration import configurations, draw
from automl_rec.search.suggestions import Lesson, Suggestion, Suggestions
from automl_rec.space.configuration import Configuration

if TYPE_CHECKING:
    from automl_rec.space.space import Space

MOST_REPEATS = 5
"""A sampler that repeats itself so often in a row is left for a blind draw."""
MOST_DRAWS = 200
LISTED_SIZE = 100_000


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration to run.

    Attributes:
        origin: ``"baseline"``, ``"default"``, ``"sampler"``, ``"random"``, ``"enumeration"``, or
            ``"derived"``.
        suggestion: what the sampler must be told of, where it was asked.
        seed: of the training, where it was started before.
        uuid: of the trial, where it was started before.
    """

    configuration: Configuration
    origin: str
    suggestion: Suggestion | None = None
    seed: int | None = None
    uuid: str | None = None


class Proposals:
    """Proposes configurations, each once, and passes on to the sampler what became of them.

    Args:
        space: the study's.
        suggestions: the sampler.
        first: what is proposed before the sampler is asked, in this order.
        known: digest -> lesson of what the study has already run.
        seed: of the blind draws.
    """

    def __init__(
        self,
        space: "Space",
        suggestions: Suggestions,
        first: Iterable[Proposal],
        known: Mapping[str, Lesson],
        seed: int,
    ) -> None:
        self._space, self._suggestions = space, suggestions
        self._waiting = deque(first)
        self._known: dict[str, Lesson] = dict(known)
        self._running: set[str] = set()
        self._generator = np.random.default_rng(seed)
        self._rest: Iterator[Configuration] | None = None
        self.repeats = 0

    @property
    def pending(self) -> bool:
        """Whether something waits that was put first, or was put back."""
        return bool(self._waiting)

    def next(self) -> Proposal | None:
        """The next configuration, or None where the space holds no other."""
        while self._waiting:
            proposal = self._waiting.popleft()
            if self._fresh(proposal.configuration):
                return self.take(proposal)
            self.leave(proposal)
        return self._suggested() or self._drawn() or self._left()

    def take(self, proposal: Proposal) -> Proposal:
        """Notes that a configuration runs: it is not proposed meanwhile."""
        self._running.add(proposal.configuration.digest)
        return proposal

    def put_back(self, proposal: Proposal) -> None:
        """Proposes a configuration again, before all others."""
        self._running.discard(proposal.configuration.digest)
        self._waiting.appendleft(proposal)

    def leave(self, proposal: Proposal) -> None:
        """Leaves a configuration to another process, who will tell what became of it."""
        if proposal.suggestion is not None:
            self._suggestions.forget(proposal.suggestion)

    def tell(self, proposal: Proposal, lesson: Lesson) -> None:
        """Says what became of a proposal."""
        digest = proposal.configuration.digest
        self._running.discard(digest)
        self._known[digest] = lesson
        if proposal.suggestion is not None:
            self._suggestions.tell(proposal.suggestion, lesson)
        else:
            self._suggestions.learn(proposal.configuration, lesson)

    def _suggested(self) -> Proposal | None:
        """A fresh configuration from the sampler, if it finds one soon."""
        for _ in range(MOST_REPEATS):
            try:
                suggestion = self._suggestions.ask()
            except Infeasible:
                return None
            if self._fresh(suggestion.configuration):
                return self.take(Proposal(suggestion.configuration, "sampler", suggestion))
            # Told again, its values would count twice and draw the sampler to more of the same.
            self._suggestions.forget(suggestion)
            self.repeats += 1
        return None

    def _drawn(self) -> Proposal | None:
        """A fresh configuration by chance: the sampler has settled on what it knows."""
        for _ in range(MOST_DRAWS):
            try:
                configuration = draw(self._space, self._generator)
            except Infeasible:
                continue
            if self._fresh(configuration):
                return self.take(Proposal(configuration, "random"))
        return None

    def _left(self) -> Proposal | None:
        """A fresh configuration from the list of all, where the space has an end."""
        if self._rest is None:
            size = self._space.configurations()
            listed = size is not None and size <= LISTED_SIZE
            self._rest = configurations(self._space) if listed else iter(())
        for configuration in self._rest:
            if self._fresh(configuration):
                return self.take(Proposal(configuration, "enumeration"))
        return None

    def _fresh(self, configuration: Configuration) -> bool:
        return configuration.digest not in self._known and configuration.digest not in self._running

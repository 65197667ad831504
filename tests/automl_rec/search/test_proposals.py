"""What is proposed, in which order, and never twice."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest
from optuna.trial import TrialState

from automl_rec.objectives.objective import Objective
from automl_rec.plugin import Choice, Component, Domain
from automl_rec.registry import Plugin, Registry
from automl_rec.search.enumeration import configurations
from automl_rec.search.proposals import Proposal, Proposals
from automl_rec.search.samplers import make_sampler
from automl_rec.search.suggestions import Lesson, Suggestions
from automl_rec.space.checker import check
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.space.space import Space

SpaceOf = Callable[[str], Space]
OBJECTIVES = (Objective("ndcg@10", "maximize", ""), Objective("bytes", "minimize", "B"))
GOOD = Lesson({"ndcg@10": 0.5, "bytes": 10.0})
SMALL = "model: {tower: {width: [4, 8, 16], rate: [0.1, 0.2], loss: full}, tiny: null}"


def proposals(
    space: Space, first: tuple[Proposal, ...] = (), known: dict[str, Lesson] | None = None
) -> Proposals:
    suggestions = Suggestions(space, OBJECTIVES, make_sampler("tpe", 0))
    return Proposals(space, suggestions, first, known or {}, seed=0)


def test_a_finite_space_is_proposed_whole_and_nothing_twice(space_of: SpaceOf) -> None:
    space = space_of(SMALL)
    source, seen = proposals(space), []
    while (proposal := source.next()) is not None:
        seen.append(proposal.configuration.digest)
        source.tell(proposal, GOOD)
    assert len(seen) == len(set(seen)) == space.configurations() == 9
    assert source.repeats > 0


def test_running_configurations_are_not_proposed_again(space_of: SpaceOf) -> None:
    source = proposals(space_of("model: tiny"))
    running = [source.next() for _ in range(3)]
    assert source.next() is None
    assert len({p.configuration.digest for p in running if p is not None}) == 3


def test_first_ones_come_in_order_and_known_ones_are_left_out(space_of: SpaceOf) -> None:
    space = space_of(SMALL)
    chosen = list(configurations(space))[:3]
    plain = Configuration(Chosen("plain"))
    first = [Proposal(c, "baseline") for c in (plain, *chosen)]
    source = proposals(space, tuple(first), {chosen[1].digest: GOOD})
    found = [source.next() for _ in range(3)]
    assert [p.configuration for p in found if p] == [plain, chosen[0], chosen[2]]
    following = source.next()
    assert following is not None
    assert following.origin != "baseline"
    assert following.configuration not in chosen


def test_a_proposal_put_back_comes_next(space_of: SpaceOf) -> None:
    source = proposals(space_of(SMALL))
    one, other = source.next(), source.next()
    assert one is not None
    assert other is not None
    source.put_back(one)
    assert source.pending
    assert source.next() == one
    assert not source.pending


def test_what_was_put_back_and_is_known_meanwhile_is_not_open_for_the_sampler(
    space_of: SpaceOf,
) -> None:
    """The sampler thinks that what it waits for will be poor."""
    source = proposals(space_of(SMALL))
    one = source.next()
    assert one is not None
    assert one.suggestion is not None
    source.put_back(one)
    source.tell(Proposal(one.configuration, "derived"), GOOD)
    other = source.next()
    assert other is not None
    assert other.configuration != one.configuration
    assert other.suggestion is not None
    waited_for = source._suggestions._study.get_trials(states=[TrialState.RUNNING])
    assert [trial.number for trial in waited_for] == [other.suggestion.trial.number]


def test_what_another_process_has_is_not_proposed_until_it_is_known(space_of: SpaceOf) -> None:
    source = proposals(space_of("model: tiny"))
    one = source.next()
    assert one is not None
    source.leave(one)
    rest = [source.next() for _ in range(2)]
    assert None not in rest
    assert source.next() is None
    source.tell(Proposal(one.configuration, "sampler"), GOOD)
    assert source.next() is None
    source.put_back(Proposal(one.configuration, "baseline"))
    assert source.next() is None


def test_an_infinite_space_is_never_exhausted_by_repeats(space_of: SpaceOf) -> None:
    # The sampler is taught that tiny, with 3 configurations, is best by far.
    source = proposals(space_of("model: [tiny, tower]"))
    names = []
    for _ in range(25):
        proposal = source.next()
        assert proposal is not None
        name = proposal.configuration.model.name
        names.append(name)
        value = 0.9 if name == "tiny" else 0.1
        source.tell(proposal, Lesson({"ndcg@10": value, "bytes": 10.0}))
    assert names.count("tiny") == 3


CHAINED: Mapping[str, Domain] = {
    "loss": Choice(("bce", "sampled", "full"), "bce"),
    "negatives": Choice((1, 4), 4, only_if={"loss": ("bce", "sampled")}),
    "sampler": Choice(("uniform", "popularity"), "uniform", only_if={"loss": ("bce", "sampled")}),
    "power": Choice((0.5, 1.0), 0.5, only_if={"sampler": ("popularity",), "negatives": (4,)}),
}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_what_differs_in_nothing_that_acts_is_run_once(
    sampler: Literal["tpe", "nsga2", "random"],
) -> None:
    chained = Component("model", "chained", "s", "s", "no:where", CHAINED, compressible=frozenset())
    registry = Registry([Plugin("made-up", "acme", "1.0", components=(chained,))])
    text = "data: {source: movielens-small}\nobjectives: [ndcg@10, bytes]\nmodel: chained\n"
    space = check(text, Path("space.yaml"), registry)
    # For each of two losses: 1 negative with 2 samplers; 4 with uniform; 4 with 2 powers. And full.
    source = Proposals(
        space, Suggestions(space, OBJECTIVES, make_sampler(sampler, 0)), (), {}, seed=0
    )
    found = []
    while (proposal := source.next()) is not None:
        found.append(proposal.configuration)
        source.tell(proposal, GOOD)
    assert (
        len(found)
        == len({configuration.text for configuration in found})
        == space.configurations()
        == 2 * 5 + 1
    )
    for configuration in found:
        values = configuration.model.hyperparameters
        assert ("negatives" in values) == ("sampler" in values) == (values["loss"] != "full")
        acts = values.get("sampler") == "popularity" and values.get("negatives") == 4
        assert ("power" in values) == acts

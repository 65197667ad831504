import re
from collections import Counter
from collections.abc import Callable

import pytest

from automl_rec.errors import Infeasible, SpaceError
from automl_rec.plugin import Choice, Domain, Value
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.space.space import Space

Check = Callable[..., Space]
EVERYTHING = """\
model: [tower, closed, plain, next]
embedding: [full, hash]
rank: [whole, svd]
sparsity: [none, magnitude, moving]
"""


class Answers:
    """Chooses from a dictionary, else the default; keeps what it was asked."""

    def __init__(self, answers: dict[str, Value]) -> None:
        self.answers, self.asked = answers, dict[str, Domain]()

    def __call__(self, name: str, domain: Domain) -> Value:
        assert name not in self.asked
        self.asked[name] = domain
        return self.answers.get(name, domain.default)


def test_choices_are_asked_once_in_a_fixed_order(checked: Check) -> None:
    answers = Answers(
        {"model": "tower", "embedding": "hash", "rank": "svd", "model.tower.width": 8}
    )
    found = checked(EVERYTHING).resolve(answers)
    assert list(answers.asked) == [
        "model",
        "model.tower.width",
        "model.tower.loss",
        "model.tower.negatives",
        "model.tower.learning_rate",
        "embedding",
        "embedding.hash.ratio",
        "rank",
        "rank.svd.ratio",
        "sparsity",
    ]
    assert found == Configuration(
        Chosen(
            "tower",
            {"width": 8, "loss": "bce", "negatives": 4, "learning_rate": 1e-3, "epochs": 200},
        ),
        Chosen("hash", {"ratio": 0.1}),
        Chosen("svd", {"ratio": 0.5}),
        Chosen("none"),
    )


def test_what_does_not_act_is_neither_asked_nor_kept(checked: Check) -> None:
    answers = Answers({"model": "tower", "model.tower.loss": "full"})
    found = checked(EVERYTHING).resolve(answers)
    assert "model.tower.negatives" not in answers.asked
    assert "negatives" not in found.model.hyperparameters


def test_compressions_that_cannot_act_are_none(checked: Check) -> None:
    space = checked(EVERYTHING)
    assert space.resolve(Answers({"model": "plain"})) == Configuration(Chosen("plain"))
    closed = space.resolve(Answers({"model": "closed"}))
    assert (closed.embedding, closed.rank, closed.sparsity) == (
        None,
        Chosen("whole"),
        Chosen("none"),
    )


def test_a_single_component_or_value_is_not_asked_for(checked: Check) -> None:
    answers = Answers({})
    found = checked("model: {tower: {width: 8, loss: full, learning_rate: 0.01}}\n").resolve(
        answers
    )
    assert answers.asked == {}
    assert found.model.hyperparameters == {
        "width": 8,
        "loss": "full",
        "learning_rate": 0.01,
        "epochs": 200,
    }


def test_a_choice_among_components_prefers_the_neutral_one(checked: Check) -> None:
    answers = Answers({})
    checked("model: tower\nrank: [svd, whole]\nembedding: [hash]\n").resolve(answers)
    assert answers.asked["rank"] == Choice(("svd", "whole"), "whole")


def test_an_exclusion_leaves_what_is_compatible(checked: Check) -> None:
    answers = Answers({"model": "next"})
    found = checked(EVERYTHING).resolve(answers)
    assert "embedding" not in answers.asked
    assert found.embedding == Chosen("full", {"precision": "fp32"})


def test_components_that_exclude_each_other_are_infeasible(checked: Check) -> None:
    answers = Answers({"model": "closed", "rank": "svd", "sparsity": "moving"})
    message = "rank svd excludes sparsity moving: its bases rotate. Choose another sparsity."
    with pytest.raises(Infeasible, match=re.escape(message)):
        checked(EVERYTHING).resolve(answers)


def test_defaults_compress_as_little_as_the_space_allows(checked: Check) -> None:
    space = checked(EVERYTHING)
    assert space.defaults("tower") == Configuration(
        Chosen(
            "tower",
            {"width": 64, "loss": "bce", "negatives": 4, "learning_rate": 1e-3, "epochs": 200},
        ),
        Chosen("full", {"precision": "fp32"}),
        Chosen("whole"),
        Chosen("none"),
    )
    forced = checked("model: [closed, plain]\nrank: svd\nsparsity: magnitude\n")
    assert forced.defaults("closed").sparsity == Chosen("magnitude", {"density": 0.1})
    with pytest.raises(SpaceError, match=r"the model tower is not in this space\. Choose one of c"):
        forced.defaults("tower")


def test_defaults_stay_inside_narrowed_domains(checked: Check) -> None:
    space = checked("model: {tower: {width: {int: [1, 16]}, learning_rate: [0.01, 0.1]}}\n")
    values = space.defaults("tower").model.hyperparameters
    assert (values["width"], values["learning_rate"]) == (16, 0.01)


def test_the_size_is_that_of_a_full_enumeration(checked: Check) -> None:
    space = checked(
        """\
model: [plain, next: {length: [1, 2]}, tower: {width: [8, 16], learning_rate: 0.01}]
embedding: {full: , hash: {ratio: 0.1}}
rank: {whole: , svd: {ratio: [0.1, 0.2, 0.3]}}
sparsity: [none, moving]
"""
    )
    # plain 1; next: 2 lengths x 2 precisions; tower: 2 widths x (3 negatives + 1) x (2 + 1)
    # embeddings; each times whole x 2 sparsities, or svd's 3 ratios x 1, which excludes moving.
    assert space.configurations() == 1 + (2 * 2) * 5 + (2 * 4 * 3) * 5
    assert Counter(names["model"] for names in space.combining.combinations({})) == {
        "plain": 1,
        "next": 3,
        "tower": 6,
    }
    assert checked(EVERYTHING).configurations() is None


def test_a_configuration_is_a_space_of_its_own(checked: Check) -> None:
    one = checked(EVERYTHING).resolve(Answers({"model": "tower", "rank": "svd"}))
    alone = checked("".join(f"{kind}: {part}\n" for kind, part in one.as_dict().items()))
    assert alone.configurations() == 1
    assert alone.resolve(Answers({})) == one
    assert alone.resolve(Answers({})).digest == one.digest


def test_the_digest_changes_with_the_configurations_meant_and_with_nothing_else(
    checked: Check,
) -> None:
    digest = checked("model: {tower: {width: [8, 16]}}\n").digest
    same = "# a comment\nmodel:\n  tower:\n    width: [8, 16]\nbudget: {trials: 3}\nrank: whole\n"
    same += "resources: {cpus: 2, memory: 1GB}\n"
    assert checked(same).digest == digest
    assert checked(same, base="data: {path: x}\nobjectives: [hit@5]\n").digest == digest
    for other in (
        "model: {tower: {width: [8, 17]}}\n",
        "model: {tower: {width: {int: [8, 16]}}}\n",
        "model: {tower: {width: {int: [8, 16], log: false}}}\n",
        "model: {tower: {width: [8, 16]}}\nrank: [whole, svd]\n",
        "model: {tower: {width: [8, 16], epochs: 199}}\n",
    ):
        assert checked(other).digest != digest

"""Mutual information against its definition, and which features are hidden together."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from automl_rec.plugin import Feature
from automl_rec_models.featured.masking import (
    membership,
    mutual_information,
    random_half,
    related_half,
)

ALL = np.ones(6, bool)
COLOUR = Feature("categorical", np.array([0, 0, 1, 1, -1, -1], np.int32), 2)
SHADE = Feature("categorical", np.array([1, 1, 2, 2, 0, 0], np.int32), 3)
PARITY = Feature("categorical", np.array([0, 1, 0, 1, 0, 1], np.int32), 2)
TAGS = Feature(
    "multi", np.array([0, 1, 1, 2, 0], np.int32), 3, np.array([0, 2, 3, 4, 4, 4, 5], np.int64)
)


def by_definition(first: np.ndarray, second: np.ndarray) -> float:
    """Information between the values that each item draws from its row of shares."""
    total = 0.0
    for a in range(first.shape[1]):
        for b in range(second.shape[1]):
            both = np.mean([x[a] * y[b] for x, y in zip(first, second, strict=True)])
            if both > 0:
                total += both * math.log(both / (first[:, a].mean() * second[:, b].mean()))
    return total


def shares(*features: Feature | None) -> list[sp.csr_matrix]:
    return [membership(feature, ALL) for feature in features]


def test_an_item_draws_one_of_its_values_and_unknown_is_a_value() -> None:
    nothing = [0, 0, 0, 1]
    expected = [[0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], nothing, nothing, [1, 0, 0, 0]]
    np.testing.assert_allclose(membership(TAGS, ALL).toarray(), np.array(expected))
    codes = [[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0], [1, 0, 0]]
    np.testing.assert_allclose(membership(COLOUR, ALL).toarray(), codes)


def test_information_equals_its_definition() -> None:
    found = shares(None, COLOUR, PARITY, TAGS)
    dense = [rows.toarray() for rows in found]
    expected = [[by_definition(a, b) for b in dense] for a in dense]
    np.testing.assert_allclose(mutual_information(found).numpy(), expected, atol=1e-12)


def test_information_of_known_cases() -> None:
    found = mutual_information(shares(None, COLOUR, SHADE, PARITY))
    assert found[0, 0] == pytest.approx(math.log(6))  # ids tell themselves
    assert found[0, 3] == pytest.approx(math.log(2))  # and everything else
    assert found[1, 2] == pytest.approx(math.log(3))  # one is the other under new names
    assert found[1, 3] == pytest.approx(0, abs=1e-12)  # independent


def test_only_kept_items_count() -> None:
    kept = np.array([True, True, True, False, False, False])
    assert membership(None, kept).shape == (3, 3)
    np.testing.assert_allclose(membership(COLOUR, kept).toarray(), [[1, 0], [1, 0], [0, 1]])


def test_numbers_are_counted_by_tenths_and_vectors_along_their_main_direction() -> None:
    generator = np.random.default_rng(0)
    places = generator.permutation(200).astype(np.float32)
    kept = np.ones(200, bool)
    tenths = membership(Feature("numeric", places), kept)
    assert tenths.shape == (200, 10)
    assert (tenths.sum(0) == 20).all()
    vectors = np.stack([-3 * places, 2 * places], 1)
    along = membership(Feature("vector", vectors, 2), kept)
    information = mutual_information([tenths, along])
    assert information[0, 1] == pytest.approx(math.log(10))
    places[:50] = np.nan
    unknown = membership(Feature("numeric", places), kept)
    assert unknown.shape == (200, 11)
    assert unknown[:50, 10].sum() == 50


def test_half_of_the_features_is_hidden() -> None:
    drawn = torch.stack([random_half(5) for _ in range(200)])
    assert (drawn.sum(1) == 2).all()
    assert (drawn.sum(0) > 40).all()


def test_features_that_tell_of_each_other_are_hidden_together() -> None:
    information = torch.tensor(
        [[2.0, 0, 0.5, 0.1], [0, 1, 0.2, 3], [0.5, 0.2, 1, 0], [0.1, 3, 0, 1]]
    )
    information[1, 2] = information[2, 1] = 0.0
    drawn = torch.stack([related_half(information) for _ in range(100)]).int()
    assert {tuple(row) for row in drawn.tolist()} <= {
        (1, 0, 1, 1),
        (0, 1, 1, 1),
        (1, 1, 0, 1),
        (1, 1, 1, 0),
    }


def test_of_three_features_one_partner_is_hidden_and_never_all() -> None:
    information = torch.tensor([[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]])
    drawn = {tuple(related_half(information).tolist()) for _ in range(100)}
    assert drawn == {(True, True, False), (False, True, True)}
    assert all(related_half(information[:2, :2]).sum() == 1 for _ in range(10))

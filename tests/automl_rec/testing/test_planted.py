import numpy as np
import numpy.typing as npt

from automl_rec.testing.planted import (
    Planted,
    planted_features,
    planted_interactions,
    planted_rows,
    planted_sequences,
    planted_tiny,
)


def ndcg_at_10(planted: Planted, scores: npt.NDArray[np.float64]) -> float:
    train = planted.catalog.matrix.toarray() > 0
    heldout = planted.heldout.matrix(planted.catalog.num_items).toarray()
    order = np.argsort(-np.where(train, -np.inf, scores), axis=1, kind="stable")[:, :10]
    discounts = 1 / np.log2(np.arange(10) + 2)
    ideal = discounts[: int(planted.heldout.lengths[0])].sum()
    return float(((np.take_along_axis(heldout, order, 1) * discounts).sum(1) / ideal).mean())


def solved_item_item(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Least squares of each item on the others with a ridge of 100."""
    items = matrix.shape[1]
    inverse = np.linalg.inv(matrix.T @ matrix + 100 * np.eye(items))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def test_every_user_meets_30_different_items_of_which_6_are_held_out() -> None:
    planted = planted_interactions()
    assert planted.catalog.num_users == 600
    assert planted.catalog.num_items == 400
    assert set(planted.catalog.histories.lengths) == {24}
    assert set(planted.heldout.lengths) == {6}
    both = planted.catalog.matrix + planted.heldout.matrix(400)
    assert both.max() == 1.0
    assert set(np.diff(both.indptr)) == {30}


def test_collaborative_structure_is_much_stronger_than_popularity() -> None:
    planted = planted_interactions(seed=0)
    matrix = planted.catalog.matrix.toarray().astype(float)
    popularity = ndcg_at_10(planted, np.tile(matrix.sum(0), (600, 1)))
    item_item = ndcg_at_10(planted, matrix @ solved_item_item(matrix))
    assert 0.04 < popularity < 0.08
    assert 0.38 < item_item < 0.43


def test_a_seed_fixes_the_draw_and_another_changes_it() -> None:
    items = [planted_interactions(seed).catalog.histories.items for seed in (3, 3, 4)]
    assert np.array_equal(items[0], items[1])
    assert not np.array_equal(items[0], items[2])


def test_tiny_interactions_have_60_users_and_40_items_all_met() -> None:
    planted = planted_tiny()
    assert (planted.catalog.num_users, planted.catalog.num_items) == (60, 40)
    assert planted.catalog.item_counts.min() > 0
    assert set(planted.heldout.lengths) == {2}


def test_sequences_follow_one_cycle_nine_times_in_ten() -> None:
    planted = planted_sequences()
    histories = planted.catalog.histories.items.reshape(400, 12)
    heldout = planted.heldout
    users = heldout.users()
    following = dict(zip(histories[users, -1].tolist(), heldout.items.tolist(), strict=True))
    steps = [
        following[before] == after
        for before, after in zip(
            histories[:, :-1].ravel().tolist(), histories[:, 1:].ravel().tolist(), strict=True
        )
        if before in following
    ]
    assert 0.88 < np.mean(steps) < 0.93


def test_the_heldout_item_of_a_sequence_is_new_to_its_user() -> None:
    planted = planted_sequences()
    train = planted.catalog.matrix.toarray()
    heldout = planted.heldout
    assert not train[heldout.users(), heldout.items].any()
    assert len(heldout.items) > 370


def mean_labels(
    keys: npt.NDArray[np.int64], labels: npt.NDArray[np.float32], new: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The mean label of the train rows of new keys, drawn towards one half as by two rows more."""
    size = int(max(keys.max(), new.max())) + 1
    means = (np.bincount(keys, labels, size) + 1) / (np.bincount(keys, minlength=size) + 2)
    return means[new]


def auc(labels: npt.NDArray[np.float32], found: npt.NDArray[np.float64]) -> float:
    pairs = found[labels == 1][:, None] - found[labels == 0]
    return float(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_pairs_tell_more_of_planted_rows_than_single_values() -> None:
    for seed in range(3):
        catalog, heldout = planted_rows(seed, 8000)
        assert catalog.rows is not None
        keys = {
            name: [np.asarray(t.fields[name].values, np.int64) for t in (catalog.rows, heldout)]
            for name in ("user", "item")
        }
        keys["pair"] = [21 * u + i for u, i in zip(keys["user"], keys["item"], strict=True)]
        found = {
            name: auc(heldout.labels, mean_labels(train, catalog.rows.labels, new))
            for name, (train, new) in keys.items()
        }
        assert found["pair"] > max(found["user"], found["item"]) + 0.05


def test_planted_rows_have_values_of_every_kind_in_range_and_both_labels() -> None:
    catalog, heldout = planted_rows()
    assert catalog.rows is not None
    assert (len(catalog.rows), len(heldout)) == (4000, 1000)
    for table in (catalog.rows, heldout):
        assert 0.3 < table.labels.mean() < 0.7
        assert table.groups is not None
        assert (table.groups == table.fields["user"].values).all()
        for field in table.fields.values():
            if field.kind != "numeric":
                codes = np.asarray(field.values, np.int64)
                assert set(np.unique(codes)) == set(range(1, field.cardinality))


def test_a_seed_fixes_planted_rows() -> None:
    labels = [planted_rows(seed)[1].labels for seed in (3, 3, 4)]
    assert np.array_equal(labels[0], labels[1])
    assert not np.array_equal(labels[0], labels[2])


def test_features_tell_the_block_where_they_are_known() -> None:
    catalog = planted_features(planted_interactions(0).catalog, blocks=8)
    items, users = np.arange(400), np.arange(600)
    group = np.asarray(catalog.user_features["group"].values, np.int32)
    kind = np.asarray(catalog.item_features["kind"].values, np.int32)
    assert (group[group >= 0] == users[group >= 0] % 8).all()
    assert (kind[kind >= 0] == items[kind >= 0] % 8).all()
    tags, size = catalog.item_features["tags"], catalog.item_features["size"].values
    assert tags.indptr is not None
    assert set(np.diff(tags.indptr).tolist()) == {0, 2}
    assert tags.values[:2].tolist() == [0, 8]
    assert catalog.counts("item.tags").shape == (tags.cardinality,)
    known = np.isfinite(np.asarray(size, np.float32))
    assert len(np.unique(np.asarray(size)[known])) == 8
    place = np.asarray(catalog.item_features["place"].values, np.float32)
    assert {tuple(row) for row in place[8:14].round(3)} <= {tuple(row) for row in place.round(3)}
    unknown = [1 - known.mean(), (kind < 0).mean(), (place == 0).all(1).mean(), (group < 0).mean()]
    assert all(0.05 < share < 0.15 for share in unknown)

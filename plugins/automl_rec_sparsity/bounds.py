"""How many entries will stay, before any has a value."""

from collections.abc import Callable, Mapping

from automl_rec.plugin import Either, Form, Grid, Interval, Leaf, Product, Tiled, tiled_form
from automl_rec_sparsity.selection import budget, of_row, shape_densities

ZERO = Interval(0, 0)


def kept_of_each(forms: Mapping[str, Form], density: float) -> dict[str, Form]:
    """The forms where every matrix keeps a share of its places, or all it has if that is less."""

    def change(leaf: Leaf) -> Leaf:
        places = _places(leaf)
        ends = (
            min(budget(density, size), present)
            for size, present in zip(places, leaf.entries, strict=True)
        )
        return leaf.kept(Interval(*ends))

    return {name: form.map_leaves(change) for name, form in forms.items()}


def kept_of_each_row(forms: Mapping[str, Form], density: float) -> dict[str, Form]:
    """The forms where every row keeps `of_row` entries, or all it has if that is less."""

    def change(leaf: Leaf) -> Leaf:
        kept = [of_row(density, int(columns)) for columns in leaf.columns]
        full, rest = divmod(leaf.entries.low, leaf.columns.low)  # in as few rows as they can be
        fewest = full * kept[0] + min(rest, kept[0])
        return leaf.kept(Interval(fewest, min(leaf.rows.high * kept[1], leaf.entries.high)))

    return {name: form.map_leaves(change) for name, form in forms.items()}


def kept_tiles(forms: Mapping[str, Form], density: float, side: int) -> dict[str, Form]:
    """The forms where every matrix keeps a share of its tiles; if stored sparse, of places."""

    def change(form: Form) -> Form:
        if isinstance(form, Either):
            return Either(change(form.first), change(form.second))
        if isinstance(form, Product):
            return Product(change(form.left), change(form.right))
        if isinstance(form, Grid):
            return Grid(change(form.down), change(form.up), form.blocks)
        (leaf,) = form.leaves()
        if leaf.entries.low < leaf.rows.low * leaf.columns.low:
            return kept_of_each({"": leaf}, density)[""]
        sizes = [(int(leaf.rows[end]), int(leaf.columns[end])) for end in (0, 1)]
        kept = [budget(density, -(-rows // side) * -(-columns // side)) for rows, columns in sizes]
        if sizes[0] == sizes[1]:
            return tiled_form(*sizes[0], side, kept[0])
        # Values decide the rank, and the rank which of the two is smaller.
        area = Interval(side * side, side * side)
        entries = Interval(kept[0] * side * side, kept[1] * side * side)
        tiles = Leaf(Interval(kept[0], kept[1]), area, entries)
        return Either(leaf, Tiled(leaf.rows, leaf.columns, side, tiles))

    return {name: change(form) for name, form in forms.items()}


def kept_by_shape(forms: Mapping[str, Form], density: float) -> dict[str, Form]:
    """The forms where every matrix keeps the share that its shape deserves.

    Exact where shapes are known; where values decide the rank of one, any number may stay of each.
    """
    if any(isinstance(form, Either) or not _settled(form) for form in forms.values()):
        return {name: form.map_leaves(_open) for name, form in forms.items()}
    leaves = [leaf for form in forms.values() for leaf in form.leaves()]
    shapes = [(int(leaf.rows.low), int(leaf.columns.low)) for leaf in leaves]
    densities = iter(shape_densities(shapes, density))

    def change(leaf: Leaf) -> Leaf:
        most = budget(next(densities), _places(leaf).low)
        return leaf.kept(Interval(*(min(most, present) for present in leaf.entries)))

    return {name: form.map_leaves(change) for name, form in forms.items()}


def kept_overall(forms: Mapping[str, Form], density: float, *, spare_rows: bool) -> dict[str, Form]:
    """The forms where all matrices together keep a share of all places; exact only for one.

    Args:
        forms: name -> form.
        density: share that stays.
        spare_rows: whether the largest entry of each row stays in any case.
    """
    places = sum((_total(form, _places) for form in forms.values()), ZERO)
    present = sum((_total(form, _entries) for form in forms.values()), ZERO)
    rows = sum((_total(form, _rows) for form in forms.values()), ZERO) if spare_rows else ZERO
    fewest = min(budget(density, places.low), present.low)
    most = max(budget(density, places.high), rows.high)

    def change(leaf: Leaf) -> Leaf:
        others = present.high - leaf.entries.high
        least = max(fewest - others, leaf.rows.low if spare_rows else 0, 0)
        return leaf.kept(Interval(min(least, leaf.entries.low), min(most, leaf.entries.high)))

    return {name: form.map_leaves(change) for name, form in forms.items()}


def _total(form: Form, of: Callable[[Leaf], Interval]) -> Interval:
    """The sum over the matrices that a form will have."""
    if isinstance(form, Either):
        return _total(form.first, of).hull(_total(form.second, of))
    if isinstance(form, Product):
        return _total(form.left, of) + _total(form.right, of)
    return sum((of(leaf) for leaf in form.leaves()), ZERO)


def _settled(form: Form) -> bool:
    """Whether the shape of all that a form is made of is known."""
    sizes = [size for leaf in form.leaves() for size in (leaf.rows, leaf.columns)]
    return all(size.low == size.high for size in sizes)


def _open(leaf: Leaf) -> Leaf:
    return leaf.kept(Interval(0, leaf.entries.high))


def _places(leaf: Leaf) -> Interval:
    return Interval(leaf.rows.low * leaf.columns.low, leaf.rows.high * leaf.columns.high)


def _entries(leaf: Leaf) -> Interval:
    return leaf.entries


def _rows(leaf: Leaf) -> Interval:
    return leaf.rows

"""What a user asks of the data: the ``data:`` section of a space, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Literal, get_args

from automl_rec.data.columns import ColumnNames
from automl_rec.errors import DataError

Format = Literal["csv", "tsv", "parquet", "inter", "lists"]
SplitKind = Literal["auto", "given", "leave-last-out", "random", "temporal", "user-disjoint"]
Task = Literal["retrieval", "ranking"]
FieldKind = Literal["categorical", "multi", "numeric", "binned"]
FeatureKind = Literal["categorical", "multi", "numeric", "vector"]
Kept = Literal["first", "last"]


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """A file with one row a user or item.

    Attributes:
        path: the file, in any format of the interactions except ``lists``.
        id: its id column, guessed like the interactions' where it is None.
        columns: column -> kind; a ``multi`` or ``vector`` cell holds values joined by ``|`` (by
            spaces in ``.inter`` style files) or is a Parquet list; an empty cell is an unknown
            value.
        format: as in DataRequest.
    """

    path: str
    columns: Mapping[str, FeatureKind]
    id: str | None = None
    format: Format | None = None

    def __post_init__(self) -> None:
        """Refuse unknown kinds and an empty list of columns.

        Raises:
            DataError: naming the field.
        """
        if not self.columns:
            raise DataError(f"{self.path}: no feature column is named. Add columns: name: kind.")
        for name, kind in self.columns.items():
            _check_choice(f"the kind of feature {name!r}", kind, get_args(FeatureKind))
        if self.format == "lists":
            raise DataError(f"{self.path}: features need columns, got format lists. Use csv.")
        _check_format(self.format)


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """How events become train, validation and test.

    Attributes:
        kind: ``auto`` means ``given`` if test files are given, ``leave-last-out`` if the data
            have an order in time, else ``random``.
        validation: share held out for validation: of each user's events (``random``, ``given``
            without a validation file and times), of all events (``temporal``), of the users
            (``user-disjoint``).
        test: the same for test.
        holdout: share of a held-out user's events to predict, the others being his history
            (``user-disjoint``).
    """

    kind: SplitKind = "auto"
    validation: float = 0.1
    test: float = 0.1
    holdout: float = 0.2

    def __post_init__(self) -> None:
        """Refuse unknown kinds and impossible shares.

        Raises:
            DataError: naming the field.
        """
        _check_choice("data.split.kind", self.kind, get_args(SplitKind))
        for name in ("validation", "test", "holdout"):
            share = getattr(self, name)
            if not 0 < share < 1:
                raise DataError(
                    f"data.split.{name} must be above 0 and below 1, got {share:g}. "
                    "Give a share such as 0.1."
                )
        if self.validation + self.test >= 1:
            raise DataError(
                "data.split.validation and data.split.test must leave something to train on, "
                f"got {self.validation:g} and {self.test:g}. Lower one of them."
            )


@dataclass(frozen=True, slots=True)
class DataRequest:
    """Which interactions, how they are read, filtered and split.

    Either ``source``, or ``path`` (one file, split here), or ``train`` and ``test`` files.

    Attributes:
        source: name of a built-in data set.
        path: one file with all events.
        train: given train events.
        validation: given validation events; taken out of train where they are missing.
        test: given test events.
        format: None goes by the file's extension, ``.gz`` allowed.
        separator: of csv and tsv fields, where it is not the format's own.
        columns: names of the columns, guessed where None.
        threshold: only events with a label of at least this count; for ``ranking``, labels of at
            least this become 1, others 0.
        label_range: lowest and highest label possible; another is an error.
        split: how events are divided.
        k_core: users and items with fewer events than this are dropped, until none is left; 0 off.
        duplicates: which event of a user with one item is kept.
        user_features: features of the users.
        item_features: features of the items.
        seed: of the random splits.
        task: ``retrieval`` ranks items for users; ``ranking`` judges single labelled rows.
        fields: column -> kind, for ``ranking``: what a row is judged by, beside its user, its item
            and their features. ``binned`` numbers are categories: whole numbers up to 2; beyond,
            2 and the squared natural logarithm rounded down; one for all below 0.
        min_count: train rows a value of a field must be met in, for ``ranking``; rarer ones are
            one with those never met.
        header: whether the first line of text names the columns; else they are c0, c1 and so on.
    """

    source: str | None = None
    path: str | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    format: Format | None = None
    separator: str | None = None
    columns: ColumnNames = field(default_factory=ColumnNames)
    threshold: float | None = None
    label_range: tuple[float, float] | None = None
    split: SplitRequest = field(default_factory=SplitRequest)
    k_core: int = 0
    duplicates: Kept = "first"
    user_features: FeatureFile | None = None
    item_features: FeatureFile | None = None
    seed: int = 0
    task: Task = "retrieval"
    fields: Mapping[str, FieldKind] = field(default_factory=dict)
    min_count: int = 1
    header: bool = True

    def __post_init__(self) -> None:
        """Refuse contradictory fields.

        Raises:
            DataError: naming the fields.
        """
        self._check_files()
        _check_format(self.format)
        _check_choice("data.duplicates", self.duplicates, get_args(Kept))
        check_separator("data.separator", self.separator)
        if self.k_core < 0 or self.seed < 0:
            name = "k_core" if self.k_core < 0 else "seed"
            raise DataError(f"data.{name} must be 0 or more, got {getattr(self, name)}. Raise it.")
        self._check_labels()
        self._check_task()

    def _check_files(self) -> None:
        ways = [self.source, self.path, self.train]
        if sum(way is not None for way in ways) != 1:
            raise DataError(
                "data needs exactly one of source, path and train (with test), got "
                f"{self._names_given() or 'none of them'}. "
                "Write for example data: {source: movielens-small}."
            )
        shaped = [n for n in ("format", "separator") if getattr(self, n) is not None]
        shaped += [] if self.header else ["header"]
        shaped += ["columns"] if self.columns != ColumnNames() else []
        if self.source is not None and shaped:
            raise DataError(
                f"data.source {self.source} brings its own {' and '.join(shaped)}. "
                f"Remove data.{shaped[0]}, or give your own file with data.path."
            )
        if self.train is not None and self.test is None:
            raise DataError("data.train is given without data.test. Add test, or use path.")
        if self.train is None and (self.test is not None or self.validation is not None):
            raise DataError(
                f"data.{self._names_given()} do not go together: test and validation files need "
                "train. Use train instead of path or source."
            )
        if (self.train is not None) != (self.split.kind == "given") and self.split.kind != "auto":
            raise DataError(
                f"data.split.kind {self.split.kind} does not go with {self._names_given()}. "
                "Use given with train and test files, another kind with path or source."
            )

    def _names_given(self) -> str:
        names = ("source", "path", "train", "validation", "test")
        return " and ".join(name for name in names if getattr(self, name) is not None)

    def _check_labels(self) -> None:
        if self.threshold is not None and not isfinite(self.threshold):
            raise DataError(f"data.threshold must be a number, got {self.threshold}. Remove it.")
        if self.label_range is not None and not self.label_range[0] <= self.label_range[1]:
            low, high = self.label_range
            raise DataError(
                f"data.label_range must go from low to high, got {low:g}, {high:g}. Swap them."
            )

    def _check_task(self) -> None:
        _check_choice("data.task", self.task, get_args(Task))
        for name, kind in self.fields.items():
            _check_choice(f"the kind of field {name!r}", kind, get_args(FieldKind))
        if self.min_count < 1:
            raise DataError(f"data.min_count must be 1 or more, got {self.min_count}. Raise it.")
        if self.task == "retrieval":
            self._refuse_set(("fields", "min_count"), "describes rows", "Set data.task: ranking")
            return
        self._refuse_set(
            ("k_core", "duplicates"),
            "does not apply to data.task ranking, where every row counts for itself",
            "Remove it",
        )
        if self.split.kind in {"leave-last-out", "user-disjoint"}:
            raise DataError(
                f"data.split.kind {self.split.kind} divides the events of users, and "
                "data.task ranking judges single rows. Use random or temporal."
            )
        if self.format == "lists":
            raise DataError("data.format lists has no labels to rank by. Use csv.")
        for role in ("domain", "behaviour"):
            if getattr(self.columns, role) is not None:
                raise DataError(
                    f"data.columns.{role} does not apply to data.task ranking. "
                    "Name the column in data.fields."
                )

    def _refuse_set(self, names: tuple[str, ...], fact: str, remedy: str) -> None:
        """Refuse those of some fields that were moved from their default."""
        defaults = DataRequest.__dataclass_fields__
        for name in names:
            value, default = getattr(self, name), defaults[name].default
            if value not in (default, {}):
                raise DataError(f"data.{name} {fact}, got {value}. {remedy}.")

    def canonical(self) -> dict[str, object]:
        """Everything but the files' paths, as plain data: equal for requests that mean the same."""
        paths = ("source", "path", "train", "validation", "test")
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name not in paths}


def check_separator(name: str, separator: str | None) -> None:
    """Refuse a separator that cannot be looked for byte by byte.

    Raises:
        DataError: it is not one ASCII character.
    """
    if separator is not None and not (len(separator) == 1 and separator.isascii()):
        raise DataError(
            f"{name} must be one ASCII character, got {separator!r}. "
            "Rewrite the file with commas or tabs."
        )


def _plain(value: object) -> object:
    match value:
        case FeatureFile():
            columns = _plain(value.columns)
            return {"columns": columns, "id": value.id, "format": value.format}
        case SplitRequest() | ColumnNames():
            return {f.name: getattr(value, f.name) for f in fields(value)}
        case tuple():
            return list(value)
        case Mapping():
            return [list(pair) for pair in value.items()]  # the order is that of the fields
        case _:
            return value


def _check_format(name: Format | None) -> None:
    if name is not None:
        _check_choice("data.format", name, get_args(Format))


def _check_choice(field_name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise DataError(
            f"{field_name} must be one of {', '.join(choices)}, got {value!r}. Choose one of them."
        )

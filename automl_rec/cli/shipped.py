"""What export and train print of an artefact."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automl_rec.search.shipping import Shipped


def print_shipped(shipped: "Shipped") -> None:
    """The configuration and every measurement, a column a part."""
    from automl_rec.cli.output import print_table
    from automl_rec.objectives import named
    from automl_rec.objectives.amount import amount
    from automl_rec.search.title import title_of
    from automl_rec.search.wording import per_rows

    print(f"{shipped.folder}: {title_of(shipped.configuration)}")
    rows = []
    for name in shipped.measurements["validation"]:
        row = {"objective": name}
        objective = named(name)
        for part, measured in shipped.measurements.items():
            found = measured.get(name)
            text = "" if found is None or objective is None else amount(found.value, objective.unit)
            if text and found is not None and found.standard_error and objective is not None:
                text += f" ± {amount(found.standard_error, objective.unit)}"
            row[part] = text
        rows.append(row)
    print_table(rows)
    for sentence in per_rows(shipped.measurements["validation"]):
        print(sentence)

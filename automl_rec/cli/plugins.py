"""``automl-rec plugins``: what is installed, and what of it cannot be used."""

import argparse
import difflib
from typing import Any

from automl_rec.cli.options import Commands, add_json, add_without


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("plugins", help="list what is installed, with its domains")
    parser.add_argument(
        "name", nargs="?", help="a kind (model, embedding, sparsity, rank) or a component's name"
    )
    add_json(parser)
    add_without(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Lists components and broken plugins, or shows one component in full."""
    from automl_rec.cli.output import print_json, print_table
    from automl_rec.plugin import KINDS
    from automl_rec.registry import Registry

    registry = Registry.discover(without=arguments.without)
    rows = _rows(registry)
    if arguments.name and arguments.name not in KINDS:
        return _show(registry, arguments)
    chosen = [row for row in rows if arguments.name in (None, row["kind"])]
    if arguments.json:
        print_json(chosen)
        return 0
    working = [row for row in chosen if row["state"] == "ok"]
    print_table([{k: r[k] for k in ("kind", "name", "summary", "distribution")} for r in working])
    # Those of any kind: what cannot be loaded may have held components of the kind asked for.
    for row in rows:
        if row["state"] != "ok":
            print(
                f"\n{row['name']} ({row['distribution']} {row['version']}) is {row['state']}: "
                f"{row['reason']}"
            )
    return 0


def _rows(registry: Any) -> list[dict[str, Any]]:
    from automl_rec.plugin import KINDS

    rows = []
    for kind in KINDS:
        for name, component in sorted(registry.components(kind).items()):
            origin = registry.origin(kind, name)
            rows.append(
                {
                    "kind": kind,
                    "name": name,
                    "summary": component.summary,
                    "distribution": origin.distribution,
                    "version": origin.version,
                    "state": "ok",
                    "reason": "",
                    "source": component.source,
                    "hyperparameters": {
                        key: {"domain": domain.describe(), "default": domain.default}
                        for key, domain in component.domains.items()
                    },
                }
            )
    rows += [
        {
            "kind": "plugin",
            "name": plugin.name,
            "summary": "",
            "distribution": plugin.distribution,
            "version": plugin.version,
            "state": plugin.state,
            "reason": plugin.reason,
            "source": "",
            "hyperparameters": {},
        }
        for plugin in registry.plugins
        if plugin.state != "ok"
    ]
    return rows


def _show(registry: Any, arguments: argparse.Namespace) -> int:
    from automl_rec.cli.output import print_json, print_table
    from automl_rec.errors import PluginError

    found = [row for row in _rows(registry) if row["name"] == arguments.name]
    if not found:
        names = sorted(row["name"] for row in _rows(registry))
        close = difflib.get_close_matches(arguments.name, names, 1)
        hint = f' Did you mean "{close[0]}"?' if close else ""
        raise PluginError(
            f"No kind or component is named {arguments.name!r}. "
            f"Installed: {', '.join(names)}.{hint}"
        )
    if arguments.json:
        print_json(found)
        return 0
    for row in found:
        print(f"{row['kind']} {row['name']}: {row['summary']}".removesuffix(": "))
        print(f"from {row['distribution']} {row['version']}")
        if row["state"] != "ok":
            print(f"{row['state']}: {row['reason']}")
            continue
        print(f"Source: {row['source']}\n")
        component = registry.component(row["kind"], row["name"])
        print_table([_domain_row(name, d) for name, d in component.domains.items()])
    return 0


def _domain_row(name: str, domain: Any) -> dict[str, Any]:
    conditions = (f"{key} is {' or '.join(map(str, v))}" for key, v in domain.only_if.items())
    return {
        "hyperparameter": name,
        "domain": domain.describe(),
        "default": domain.default,
        "searched": "yes" if domain.search else "when named",
        "only if": ", ".join(conditions),
    }

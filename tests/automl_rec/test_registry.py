"""The registry against real distributions: metadata and modules written to a folder on the path."""

import itertools
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from automl_rec.errors import PluginError
from automl_rec.registry import Plugin, Registry

Install = Callable[..., None]
COUNTER = itertools.count()
GOOD = """
    from automl_rec.plugin import Component, Integer, hookimpl

    def described(name, kind="model", **fields):
        texts = {"summary": "s", "source": "s", "implementation": "nowhere:Nothing"}
        return Component(kind=kind, name=name, **texts, **fields)

    @hookimpl
    def register_models():
        return [described("acme-model", hyperparameters={"width": Integer(1, 8, 4)})]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Writes a distribution with one plugin: metadata, entry point, module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = []

    def write(entry: str, code: str, *, distribution: str = "acme", version: str = "2.3.1") -> None:
        module = f"acme_plugin_{next(COUNTER)}"
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        folder = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        with (folder / "entry_points.txt").open("a") as entries:
            entries.write(f"[automl_rec]\n{entry} = {module}\n")

    yield write
    for module in modules:
        sys.modules.pop(module, None)


def plugin(registry: Registry, name: str) -> Plugin:
    (found,) = (plugin for plugin in registry.plugins if plugin.name == name)
    return found


def extended(code: str) -> str:
    return textwrap.dedent(GOOD) + textwrap.dedent(code)


def hook(returned: str, signature: str = "register_ranks()") -> str:
    return extended(f"""
        @hookimpl
        def {signature}:
            {returned}
    """)


def test_a_component_is_found_with_its_distribution_and_version(install: Install) -> None:
    install("acme-models", GOOD)
    registry = Registry.discover()
    owner = registry.origin("model", "acme-model")
    assert (owner.name, owner.distribution, owner.version, owner.state) == (
        "acme-models",
        "acme",
        "2.3.1",
        "ok",
    )
    assert registry.component("model", "acme-model").domains.keys() == {"width"}
    assert registry.component("model", "acme:acme-model").name == "acme-model"
    assert registry.canonical("model", "acme:acme-model") == "acme-model"
    assert [c.name for c in owner.components] == ["acme-model"]


def test_plugins_are_listed_by_name_whatever_order_they_are_found_in(install: Install) -> None:
    install("zz-last", GOOD, distribution="a-first")
    install("aa-first", GOOD.replace("acme-model", "other"), distribution="z-last")
    names = [plugin.name for plugin in Registry.discover().plugins]
    assert names == sorted(names)
    assert {"aa-first", "zz-last"} <= set(names)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import faiss_of_nobody", "could not be imported: No module named 'faiss_of_nobody'."),
        ("raise SystemExit(3)", "could not be imported: 3."),
        ("raise SystemExit", "could not be imported: SystemExit."),
        ("def broken(:", "could not be imported: invalid syntax"),
        ("answer = 42", "implements no hook. Mark its functions with automl_rec.plugin.hookimpl"),
        ("AUTOML_REC_API = (2, 0)", "is written for version 2.0 of the plugin interface"),
        ("AUTOML_REC_API = '1.0'", "must state AUTOML_REC_API as (major, minor), got '1.0'."),
        (hook("return []", "register_modles()"), "unknown hook 'register_modles'"),
        (hook("return []", "register_ranks(catalog)"), "{'catalog'}"),
        (hook("raise ValueError('no GPU')"), "raised ValueError in register_ranks: no GPU."),
        (hook("raise SystemExit(1)"), "raised SystemExit in register_ranks: 1."),
        (hook("return described('x', 'rank')"), "must return a list from register_ranks, got"),
        (hook("return ['svd']"), "must return Components from register_ranks, got str."),
        (hook("return [described('x')]"), '"x" wrongly: its kind is model.'),
        (hook("return [described('X_y', 'rank')]"), "must be lower-case words joined by hyphens"),
        (hook("return [described('x', 'rank', baseline=True)]"), "only a model can be a baseline"),
        (hook("return [described('x', 'rank')] * 2"), 'the rank component "x" twice. Rename one'),
        (
            hook("return [described('x', 'rank', hyperparameters={'a': Integer(1, 8, 9)})]"),
            "the default 9 of a is outside it",
        ),
        (
            hook(
                "return [described('x', 'rank', hyperparameters="
                "{'a': Integer(1, 8, 4, only_if={'b': (1,)}), 'b': Integer(1, 2, 1)})]"
            ),
            "a depends on b, which is not declared before it. Declare b first",
        ),
        (
            hook(
                "return [described('x', 'rank', hyperparameters="
                "{'b': Integer(1, 2, 1), 'a': Integer(1, 8, 4, only_if={'b': (3,)})})]"
            ),
            "a depends on a value that b cannot have",
        ),
        (
            hook(
                "return [described('x', 'rank', hyperparameters={'a': Integer(1, 2, 1)},"
                "training={'a': Integer(1, 2, 1)})]"
            ),
            "a is a hyperparameter and one of training",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_is_recorded_and_the_rest_goes_on(
    install: Install, code: str, reason: str
) -> None:
    install("broken", code)
    install("works", GOOD.replace("acme-model", "other-model"), distribution="other")
    registry = Registry.discover()
    broken = plugin(registry, "broken")
    assert (broken.state, broken.components) == ("broken", ())
    assert reason in broken.reason
    assert broken.reason.startswith('Plugin "broken" (acme 2.3.1) ')
    assert broken.reason.endswith("or block it with --without broken.")
    assert registry.component("model", "other-model").name == "other-model"
    with pytest.raises(PluginError, match='Plugin "broken"'):
        registry.component("model", "acme-model")


def test_an_entry_declared_twice_names_both_distributions_and_is_refused(install: Install) -> None:
    install("twins", GOOD, distribution="acme-recs", version="1.0")
    install("twins", GOOD, distribution="other-recs", version="2.0")
    registry = Registry.discover()
    states = [(p.distribution, p.state) for p in registry.plugins if p.name == "twins"]
    assert states == [("acme-recs", "broken"), ("other-recs", "broken")]
    with pytest.raises(
        PluginError,
        match=r'Plugin entry "twins" is declared by acme-recs 1.0 and by other-recs 2.0\. '
        r"Uninstall one of them",
    ) as caught:
        registry.component("model", "acme-model")
    assert str(caught.value).count("is declared by") == 1
    one_blocked = Registry.discover(without=["other-recs:twins"])
    assert one_blocked.origin("model", "acme-model").distribution == "acme-recs"


def test_a_component_claimed_twice_needs_its_distribution(install: Install) -> None:
    install("one", GOOD, distribution="acme-recs", version="1.0")
    install("two", GOOD, distribution="other-recs", version="2.0")
    registry = Registry.discover()
    with pytest.raises(
        PluginError,
        match=r'"acme-model" is given by plugin "one" \(acme-recs 1.0\) and by plugin "two" '
        r"\(other-recs 2.0\)\. Write acme-recs:acme-model or other-recs:acme-model",
    ):
        registry.component("model", "acme-model")
    assert registry.origin("model", "other-recs:acme-model").name == "two"
    assert registry.canonical("model", "other-recs:acme-model") == "other-recs:acme-model"
    listed = registry.components("model")
    assert {"acme-recs:acme-model", "other-recs:acme-model"} <= listed.keys()
    assert "acme-model" not in listed


def test_a_component_claimed_twice_by_one_distribution_cannot_be_reached(install: Install) -> None:
    install("one", GOOD)
    install("two", GOOD)
    registry = Registry.discover()
    with pytest.raises(PluginError, match="Block one with --without, or uninstall"):
        registry.component("model", "acme:acme-model")
    assert not any("acme-model" in name for name in registry.components("model"))


def test_a_blocked_plugin_is_not_even_imported(install: Install) -> None:
    install("loud", "raise SystemExit('imported')")
    blocked = plugin(Registry.discover(without=["loud"]), "loud")
    assert (blocked.state, blocked.reason) == ("blocked", "Blocked with --without.")


def test_blocking_a_plugin_that_is_not_installed_is_an_error_with_a_suggestion(
    install: Install,
) -> None:
    install("acme-models", GOOD)
    with pytest.raises(PluginError, match=r'names the plugin "acme-model".*Did you mean "acme-m'):
        Registry.discover(without=["acme-model"])


def test_the_environment_lists_the_only_plugins(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme-models", GOOD)
    monkeypatch.setenv("AUTOML_REC_PLUGINS", "acme-models")
    registry = Registry.discover()
    assert list(registry.components("model")) == ["acme-model"]
    assert {p.state for p in registry.plugins if p.name != "acme-models"} <= {"blocked"}
    monkeypatch.setenv("AUTOML_REC_PLUGINS", "acme-modles")
    with pytest.raises(PluginError, match='AUTOML_REC_PLUGINS names the plugin "acme-modles"'):
        Registry.discover()


def test_strictness_turns_a_broken_plugin_and_a_clash_into_errors(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_REC_STRICT_PLUGINS", "1")
    monkeypatch.setenv("AUTOML_REC_PLUGINS", "one,two")
    install("one", GOOD)
    install("two", "import faiss_of_nobody", distribution="other")
    with pytest.raises(PluginError, match=r'Plugin "two" \(other 2\.3\.1\) could not be imported'):
        Registry.discover()
    monkeypatch.setenv("AUTOML_REC_PLUGINS", "one,three")
    install("three", GOOD, distribution="third")
    with pytest.raises(PluginError, match='"acme-model" is given by plugin "one"'):
        Registry.discover()


def test_a_plugin_that_prints_does_not_disturb_what_the_program_prints(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("chatty", "print('hello')\n" + textwrap.dedent(GOOD))
    Registry.discover()
    assert capsys.readouterr() == ("", "hello\n")


def test_two_neutral_components_are_refused_when_one_is_needed(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_REC_PLUGINS", "one")
    install("one", hook("return [described(n, 'rank', neutral=True) for n in ('a', 'b')]"))
    with pytest.raises(PluginError, match=r"got a of acme 2.3.1 and b of acme 2.3.1\."):
        Registry.discover().neutral("rank")


def test_without_plugins_there_is_nothing_and_that_is_said() -> None:
    registry = Registry(())
    assert registry.neutral("rank") is None
    assert registry.components("model") == {}
    with pytest.raises(PluginError, match=r'No model component is named "ease"\. Installed: none'):
        registry.component("model", "ease")


def test_the_program_s_own_plugins_are_all_usable() -> None:
    registry = Registry.discover()
    own = {p.name: p.reason for p in registry.plugins if p.distribution == "automl-rec"}
    assert own == {"embeddings": "", "models": "", "ranks": "", "sparsities": ""}
    for kind in ("embedding", "rank", "sparsity"):
        assert registry.neutral(kind) is not None


def test_discovery_imports_no_heavy_library() -> None:
    code = (
        "import sys; from automl_rec.registry import Registry; r = Registry.discover(); "
        "assert r.components('model'); "
        "print(*sorted({'torch', 'optuna', 'ray', 'sqlalchemy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"

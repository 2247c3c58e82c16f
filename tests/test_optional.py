"""Packages that only some families need."""

from __future__ import annotations

import sys

import pytest

from src.optional import require


def test_an_installed_package_is_imported():
    assert require("json.decoder", "json", "dataset 'x/y'") is sys.modules["json.decoder"]


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
def test_a_missing_package_is_named_with_what_to_install(module):
    with pytest.raises(ValueError) as raised:
        require(module, "no-such-package", "dataset 'x/y'")
    assert str(raised.value) == (
        "dataset 'x/y' needs the package no-such-package: pip install -r requirements.txt -r requirements-extras.txt"
    )


def test_what_goes_wrong_inside_an_installed_package_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import what_it_needs")
    (tmp_path / "out_of_date.py").write_text("from json import no_such_name")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        require("half_installed", "half-installed", "dataset 'x/y'")
    with pytest.raises(ImportError, match="no_such_name"):
        require("out_of_date", "out-of-date", "dataset 'x/y'")


@pytest.mark.parametrize(
    ("options", "package"),
    [
        ({"dataset": "hf/user/films"}, "datasets"),
        ({"model": "hf/user/bert"}, "transformers"),
    ],
)
def test_families_name_the_package_they_lack(monkeypatch, options, package):
    from src import config, families

    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    checked = config.build(options)
    ((kind, full_name),) = options.items()
    family, name = families.find(kind, full_name, {"dataset": families.DATA, "model": families.MODELS}[kind])
    with pytest.raises(ValueError, match=f"^{kind} '{full_name}' needs the package {package}: pip install"):
        if kind == "dataset":
            family.load().load_source(name, checked)
        else:
            family.load().inputs(name, checked)

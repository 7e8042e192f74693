"""Commands on models that travel: pretrained ones, sharing, citation."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from absynth.cli.parser import Parser, print_json
from absynth.errors import InputError


def pretrained(argv: list[str]) -> None:
    """``absynth pretrained``: list the pretrained models; ``absynth pretrained NAME`` prints a model's card."""
    from absynth import released
    from absynth.sharing import card

    parser = Parser("absynth pretrained", "List the pretrained models, or print the model card of one.")
    parser.add_argument("name", nargs="?", default="", help="Name of a model, METHOD/DATA.")
    parser.add_argument("--json", action="store_true", help="Print the list, or its entry of the model, as JSON alone.")
    given = parser.read(argv)
    if given["name"]:
        given["name"] = given["name"].rstrip("/")
    if given["name"] and given["json"]:
        print_json({"name": given["name"], **card.summary(released.find(given["name"]))})
        return
    if given["name"]:
        print((released.find(given["name"]) / "README.md").read_text(encoding="utf-8"), end="")
        return
    rows = [{"name": name, **card.summary(released.find(name))} for name in released.names()]
    if given["json"]:
        print_json(rows)
        return
    table = Table(title="absynth sample NAME", title_justify="left")
    table.add_column("name", no_wrap=True)
    for column in ("data", "MB", "figure", "this model", "baselines"):
        table.add_column(column)
    for row in rows:
        others = "; ".join(f"{name} {value:.4g}" for name, value in row["baselines"].items())
        value = "" if row["value"] is None else f"{row['value']:.4g}"
        cells = (row["name"], row["kind"], f"{row['bytes'] / 1e6:.2f}", row["figure"], value, others)
        table.add_row(*map(escape, cells))
    Console().print(table)
    print("absynth pretrained NAME prints a model's card; every task takes a name: absynth sample NAME")


def share(argv: list[str]) -> None:
    """``absynth share RUN --out FOLDER``: save a run as a folder with a model card, or to the hub."""
    from absynth import checkpoint, released

    parser = Parser("absynth share", "Save a trained run as a folder with a model card, or to the Hugging Face hub.")
    parser.add_argument("run", type=Path, help="Run directory, or the name of a pretrained model.")
    parser.add_argument("--out", type=Path, help="Folder to write: weights, recipe, figures, model card.")
    parser.add_argument("--push", default="", help="OWNER/NAME of a model on the hub to save to (needs absynth[hub]).")
    parser.add_argument("--license", default="", help="License of the weights, such as CC-BY-4.0.")
    parser.add_argument("--private", action="store_true", help="Make a new model on the hub private.")
    parser.add_argument("--json", action="store_true", help="Print the folder and the address as JSON alone.")
    given = parser.read(argv)
    if given["out"] is None and not given["push"]:
        raise InputError("expected --out FOLDER or --push OWNER/NAME, got neither: add one")
    model = checkpoint.load(released.locate(given["run"]))
    found = {}
    if given["out"] is not None:
        found["folder"] = str(model.save_pretrained(given["out"], license=given["license"]))
    if given["push"]:
        found["address"] = model.push_to_hub(given["push"], license=given["license"], private=given["private"])
    if given["json"]:
        print_json(found)
    else:
        print("\n".join(found.values()))


def fetch(argv: list[str]) -> None:
    """``absynth fetch OWNER/NAME --out FOLDER``: download a model from the hub."""
    from absynth.sharing import hub

    parser = Parser("absynth fetch", "Download a model from the Hugging Face hub; every task takes its folder.")
    parser.add_argument("repo", help="OWNER/NAME of the model.")
    parser.add_argument("--out", type=Path, required=True, help="Folder to write.")
    parser.add_argument("--revision", default="", help="Branch, tag or commit. Defaults to the main branch.")
    given = parser.read(argv)
    out = given["out"].expanduser()
    if not hub.is_id(given["repo"]):
        raise InputError(f"expected OWNER/NAME of a model on the hub, got {given['repo'][:80]!r}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder: choose another --out")
    print(hub.fetch(given["repo"], revision=given["revision"], out=out))
    shutil.rmtree(out / ".cache", ignore_errors=True)  # huggingface_hub's notes on what it downloaded


def cite(argv: list[str]) -> None:
    """``absynth cite [METHOD ...]``: what to cite, as BibTeX."""
    from absynth import citations, recipes

    parser = Parser("absynth cite", "Print what to cite as BibTeX: this library, or the papers of methods.")
    parser.add_argument("methods", nargs="*", help="Names of methods. Defaults to the library alone.")
    methods = parser.read(argv)["methods"]
    for method in methods:
        recipes.classes(method)  # refuses names of no method
    found = [entry for method in methods for entry in citations.of_method(method)]
    distinct = {entry.key: entry for entry in found or [citations.of_library()]}
    print("\n\n".join(entry.bibtex() for entry in distinct.values()))

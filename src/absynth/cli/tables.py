"""Commands on a table of yours: fill its missing entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absynth.cli.parser import Parser
from absynth.errors import InputError


def impute(argv: list[str]) -> None:
    """``absynth impute --data table.csv --out filled.csv``."""
    parser = Parser("absynth impute", "Fill the missing entries of a table by an energy-based model of its rows.")
    parser.add_function_arguments(fill)
    print(fill(**parser.read(argv)))


def fill(
    data: Path, out: Path, like: Path | None = None, draws: int = 0, minutes: float | None = None, seed: int = 0
) -> str:
    """Fill the missing entries of a table: numbers by their conditional mean, words by the most probable one.

    Args:
        data: Table with missing entries: .csv, .tsv, .parquet, or an .npz of X.
        out: Table to write: .csv or .parquet.
        like: Complete or incomplete table to learn from. Defaults to the same table.
        draws: Number of further tables, each a draw given what is known: OUT_1, OUT_2 ...
        minutes: Minutes of training at most.
        seed: Seed of training and draws.
    """
    from absynth.sklearn import EBMImputer

    if draws < 0:
        raise InputError(f"expected --draws of at least 0, got {draws}")
    if minutes is not None and not minutes > 0:
        raise InputError(f"expected positive --minutes, got {minutes:g}")
    table, learn = read_frame(data), None if like is None else read_frame(like)
    if learn is not None and (lacking := [str(c) for c in table.columns if c not in learn.columns]):
        raise InputError(f"{like}: expected the columns of {data}, got none called {', '.join(lacking[:10])}")
    out = out.expanduser()
    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"expected --out with the suffix .csv or .parquet, got {out}")
    try:
        imputer = EBMImputer(random_state=seed, minutes=minutes, proposals=max(200, draws)).fit(
            table if learn is None else learn[list(table.columns)]
        )
        _write(_as_frame(imputer.transform(table), table), out)
        for i, drawn in enumerate(imputer.draws(table, draws) if draws else (), 1):
            _write(_as_frame(drawn, table), out.with_stem(f"{out.stem}_{i}"))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{data}: {error}") from None
    missing = table.isna().sum()
    columns = ", ".join(f"{name} {n}" for name, n in missing[missing > 0].items())
    more = f", and {draws} draws" if draws else ""
    return f"filled {int(missing.sum())} of {table.size} entries ({columns or 'none was missing'}): {out}{more}"


def read_frame(path: Path) -> Any:
    """A table of a file as a DataFrame.

    Raises:
        InputError: The file cannot be read, or pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise InputError("this command needs pandas: pip install 'absynth[tables]'") from None
    path = path.expanduser()
    try:
        if path.suffix == ".npz":
            import numpy as np

            x = np.load(path, allow_pickle=False)["X"]
            return pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise InputError(f"{path}: expected a table (.csv, .tsv, .parquet, .npz of X), got none ({error})") from None


def _as_frame(rows: Any, like: Any) -> Any:
    import pandas as pd

    found = rows if hasattr(rows, "columns") else pd.DataFrame(rows, columns=like.columns)
    return found.set_axis(like.index).where(like.isna(), like)


def _write(table: Any, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".parquet":
        table.to_parquet(out, index=False)
    else:
        table.to_csv(out, index=False)

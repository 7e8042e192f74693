"""Commands on a table of yours: fill its missing entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from absynth.cli.parser import Parser
from absynth.data.cells import Sheet, read_sheet
from absynth.data.columns import values_of
from absynth.data.forms import uses_decimal_comma
from absynth.errors import InputError
from absynth.files import refused


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
        data: Table with missing entries: .csv, .tsv, .parquet, or an .npz of X. An empty cell is missing, and so is one
            that holds NA, NaN, null, ? or - alone.
        out: Table to write: .csv or .parquet.
        like: Complete or incomplete table to learn from. Defaults to the same table.
        draws: Number of further tables, each a draw given what is known: OUT_1, OUT_2 ...
        minutes: Minutes of training at most.
        seed: Seed of training and draws.
    """
    from absynth.sklearn import EBMImputer

    if draws < 0:
        raise InputError(f"expected --draws of at least 0, got {draws}")
    if not 0 <= seed < 2**32:
        raise InputError(f"expected --seed between 0 and {2**32 - 1}, got {seed}")
    if minutes is not None and not minutes > 0:
        raise InputError(f"expected positive --minutes, got {minutes:g}")
    out = out.expanduser()
    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"expected --out with the suffix .csv or .parquet, got {out}")
    outputs = [out, *(out.with_stem(f"{out.stem}_{i}") for i in range(1, draws + 1))]
    for read in (data, like):
        if read is not None and read.expanduser().resolve() in [o.resolve() for o in outputs]:
            raise InputError(f"expected --out to leave {read} as it is, got a file that would replace it: name another")
    table, learn = read_table(data), None if like is None else read_table(like).frame
    frame = table.frame
    if learn is not None and (lacking := [str(c) for c in frame.columns if c not in learn.columns]):
        raise InputError(f"{like}: expected the columns of {data}, got none called {', '.join(lacking[:10])}")
    try:
        imputer = EBMImputer(random_state=seed, minutes=minutes, proposals=max(200, draws)).fit(
            frame if learn is None else learn[list(frame.columns)]
        )
        filled = [imputer.transform(frame), *(imputer.draws(frame, draws) if draws else ())]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{data}: {' '.join(str(error).split())}") from None
    for rows, file in zip(filled, outputs, strict=True):
        _write(table.completed(rows, as_text=file.suffix == ".csv"), file)
    missing = frame.isna().sum()
    columns = ", ".join(f"{name} {n}" for name, n in missing[missing > 0].items())
    more = f", and {draws} draws" if draws else ""
    notes = "".join(f"; {note}" for note in table.notes)
    return f"filled {int(missing.sum())} of {frame.size} entries ({columns or 'none was missing'}): {out}{more}{notes}"


class FileTable(NamedTuple):
    """A table of a file.

    Attributes:
        frame: Numbers and words, missing where the file says so; dates are days since 1970.
        text: The cells of each column as the file has them, where they can stand beside numbers that are filled in.
        dates: Names of the columns of dates.
        notes: What was found or left out, one phrase each.
    """

    frame: Any
    text: dict[str, np.ndarray]
    dates: list[str]
    notes: list[str]

    def completed(self, rows: Any, *, as_text: bool) -> Any:
        """The table with what is missing taken from filled rows; for text, known cells as they stand in the file."""
        import pandas as pd

        found = rows if hasattr(rows, "columns") else pd.DataFrame(rows, columns=self.frame.columns)
        found = found.set_axis(self.frame.index).where(self.frame.isna(), self.frame)
        for name in self.dates:
            found[name] = _days_to_dates(found[name].to_numpy(float), self.frame[name].to_numpy(float))
        for name, cells in self.text.items() if as_text else ():
            found[name] = found[name].astype(object).where(self.frame[name].isna(), cells)
        return found


def read_table(path: Path) -> FileTable:
    """A table of a file; text is read as ``absynth train`` reads it.

    Raises:
        InputError: The file cannot be read, or pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise InputError("this command needs pandas: pip install 'absynth[tables]'") from None
    path = path.expanduser()
    suffix = path.suffix.lower()
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no file"
        raise InputError(f"{path}: expected a table (.csv, .tsv, .parquet, .npz of X), got {what}: correct the path")
    try:
        if suffix == ".npz":
            x = np.load(path, allow_pickle=False)["X"]
            return FileTable(pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]), {}, [], [])
        if suffix in (".parquet", ".pq"):
            return FileTable(pd.read_parquet(path), {}, [], [])
    except (OSError, ValueError, KeyError, IndexError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: expected a table (.csv, .tsv, .parquet, .npz of X), got none ({reason})") from None
    return _of_cells(read_sheet(path))


def _of_cells(sheet: Sheet) -> FileTable:
    import pandas as pd

    decimal = uses_decimal_comma(sheet.columns)
    columns: dict[str, Any] = {}
    found = FileTable(None, {}, [], list(sheet.notes))
    for name, cells in zip(sheet.names, sheet.columns, strict=True):
        values = values_of(sheet, name, cells, decimal)
        if values.form == "words":
            columns[name] = pd.Series(cells, dtype=object).where(~values.missing, None)
            continue
        odd = np.isnan(values.numbers) & ~values.missing
        if odd.any():
            at = int(np.argmax(odd))
            raise InputError(
                f"{sheet.source}, {sheet.places[at]}, column {name!r}: {int(odd.sum())} of {len(cells)} values are no "
                f'numbers ("{cells[at]}"): correct them, or empty the cell to have it filled'
            )
        columns[name] = values.numbers
        if values.form == "date":
            found.dates.append(name)
        elif values.form == "plain":
            found.text[name] = cells
        else:
            found.notes.append(f"{values.form} read in {name}")
    return found._replace(frame=pd.DataFrame(columns))


def _days_to_dates(days: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Days since 1970 as dates, with the time of day if a known one has it."""
    whole = (known[~np.isnan(known)] % 1 == 0).all()
    seconds = np.round(days) * 86_400 if whole else np.round(days * 86_400)
    return seconds.astype("datetime64[s]")


def _write(table: Any, out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".parquet":
            table.to_parquet(out, index=type(table.index).__name__ != "RangeIndex")
        else:
            table.to_csv(out, index=type(table.index).__name__ != "RangeIndex")
    except OSError as error:
        raise refused(out, error) from error

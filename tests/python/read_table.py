"""Prints the rows of a Delta table as the `deltalake` package reads them: one JSON list a row.

    read_table.py URL STORAGE-OPTIONS-AS-JSON [COLUMN ...]

Never asks the server.
"""

import json
import os
import sys

from deltalake import DeltaTable


def main(url: str, options: str, columns: list[str]) -> None:
    """The rows in the order of their values."""
    table = DeltaTable(url, storage_options=json.loads(options)).to_pyarrow_table(columns=columns or None)
    rows = [list(row.values()) for row in table.to_pylist()]
    for row in sorted([None if value is None else str(value) for value in row] for row in rows):
        print(json.dumps(row))
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
    # As in count_rows.py: the libraries' threads do not outlive the interpreter well.
    os._exit(0)

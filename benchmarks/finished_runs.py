"""Runs that are kept as soon as they are finished, and not made again."""

import json


class FinishedRuns:
    """Finished runs of a benchmark, one line of JSON each.

    Args:
        path: Path of the file, which need not exist.
    """

    def __init__(self, path):
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = [json.loads(line) for line in lines]

    def has(self, key):
        """Returns whether a run with these facts is there."""
        return any(key.items() <= row.items() for row in self.rows)

    def __call__(self, key, facts):
        """Keeps and prints a run."""
        self.rows.append(key | facts)
        print(self.rows[-1], flush=True)
        with self.path.open("a") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")

    def once(self, key, make):
        """Makes a run, by a function that returns its facts, unless it is there."""
        if not self.has(key):
            self(key, make())

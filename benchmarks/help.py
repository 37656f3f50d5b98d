"""Time of `lamp --help`, the whole process, beside an interpreter that does nothing.

python benchmarks/help.py            # writes benchmarks/results/help.json
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from pathlib import Path

OUT = Path(__file__).resolve().parent / "results" / "help.json"
COMMANDS = {"lamp --help": ["-m", "lamplighter", "--help"], "python -c pass": ["-c", "pass"]}
ROUNDS = 10


def seconds(words: list[str]) -> float:
    """Wall time of one process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Interleaved rounds, after one that warms the file cache."""
    for words in COMMANDS.values():
        seconds(words)
    rounds = [{name: seconds(words) for name, words in COMMANDS.items()} for _ in range(ROUNDS)]
    medians = {name: round(sorted(r[name] for r in rounds)[ROUNDS // 2], 3) for name in COMMANDS}
    result = {
        "command": "python benchmarks/help.py",
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "median_seconds": medians,
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(medians))


if __name__ == "__main__":
    main()

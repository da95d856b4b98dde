"""Measure reading, cleaning and writing at scale: `python tests/scale_corpora.py 4000000`."""
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ppde_nbdev.corpora import embedded_file, read_pairs

PEAK = """
from pathlib import Path
def peak_mib(): return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024 # ru_maxrss begins at what the parent held
"""
CHILD = PEAK + """
import json, sys, time
from ppde_nbdev.corpora import load_pairs
from ppde_nbdev.recipe import CorpusParameters
started = time.perf_counter()
pairs, account = load_pairs([sys.argv[1]], parameters=CorpusParameters(max_pairs_per_file=10**9), path=sys.argv[2])
print(json.dumps({"seconds": time.perf_counter() - started, "peak_mib": peak_mib(), "account": account[0]}))
"""


def write_corpus(path: Path, lines: int, duplicates: float = 0.1, seed: int = 0) -> None:
    "Write pairs of one to three real sentences, all different but for the share of duplicates of earlier lines."
    draw, pairs = random.Random(seed), read_pairs(embedded_file("train"), max_pairs=3706) # those of frequent words: no line looks foreign
    sources, translations = pairs["source"][:], pairs["translation"][:]
    written = []
    with open(path, "w", encoding="utf8") as file:
        for number in range(lines):
            if written and draw.random() < duplicates: line = draw.choice(written)
            else:
                places = draw.choices(range(len(sources)), k=draw.choices((1, 2, 3), (6, 3, 1))[0])
                line = "\t".join(" ".join(side[place] for place in places) + f" ({number})" for side in (sources, translations)) + "\n"
                if len(written) < 200_000: written.append(line)
            file.write(line)


def read_plainly(path: Path) -> float:
    "Read the file once in plain Python; seconds."
    started = time.perf_counter()
    with open(path, encoding="utf8") as file: assert all(len(line.rstrip("\n").split("\t")) == 2 for line in file)
    return time.perf_counter() - started


def measure(lines: int, folder: Path) -> dict:
    "Clean a corpus of so many lines in a process of its own; seconds, memory and counts."
    source, result = folder / "corpus.tsv", folder / "corpus.arrow"
    write_corpus(source, lines)
    plain = read_plainly(source)
    child = subprocess.run([sys.executable, "-c", CHILD, str(source), str(result)], capture_output=True, text=True, check=True)
    opening = "import sys, time; from datasets import Dataset; started = time.perf_counter(); pairs = Dataset.from_file(sys.argv[1]); pairs[-1]; print(time.perf_counter() - started)"
    opened = float(subprocess.run([sys.executable, "-c", opening, str(result)], capture_output=True, text=True, check=True).stdout)
    figures = json.loads(child.stdout)
    return {"lines": lines, "mib": source.stat().st_size / 2**20, **figures, "plain_seconds": plain, "ratio": figures["seconds"] / plain, "open_seconds": opened}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder: print(json.dumps(measure(int(sys.argv[1]), Path(folder)), indent=1))

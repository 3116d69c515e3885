"""Loads split files in llama.cpp, by the first of them, and asks for the whole file's logits, to the bit.

    .venv-peers/bin/python scripts/test-peers-split.py --export target/release/export
"""

import argparse
import pathlib
import subprocess
import tempfile

import llama_cpp
import numpy as np

CASE = pathlib.Path(__file__).parent.parent / "engine/tests/fixtures/gemma3-micro"
TYPES = ["q8_0", "q4_k_m"]


def export(program, *args):
    inputs = ["--base", CASE / "base", "--adapter", CASE / "adapter"]
    subprocess.run([program, "gguf", *inputs, "--quant", ",".join(TYPES), *args], check=True, stdout=subprocess.DEVNULL)


def logits(path):
    model = llama_cpp.Llama(str(path), n_ctx=64, logits_all=True, verbose=False)
    tokens = model.tokenize(b"The quick brown fox jumps over the lazy dog.")
    model.eval(tokens)
    return np.array(model.scores[: len(tokens)])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", required=True)
    program = parser.parse_args().export
    with tempfile.TemporaryDirectory() as out:
        out = pathlib.Path(out)
        export(program, "--out", out / "whole-{quant}.gguf")
        export(program, "--split-max-size", "100K", "--out", out / "split-{quant}.gguf")
        for name in TYPES:
            parts = sorted(out.glob(f"split-{name}-*.gguf"))
            assert len(parts) > 1, parts
            assert (logits(parts[0]) == logits(out / f"whole-{name}.gguf")).all(), name
            print(f"ok     {name}: {len(parts)} files have the logits of one")


main()

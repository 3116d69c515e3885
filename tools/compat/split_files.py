"""Loads split GGUF files in llama.cpp, and compares the logits with those of the whole file, bit for bit.

.venv-peers/bin/python -m tools.compat.split_files
"""

import sys

import llama_cpp
import numpy as np

from tools.common import FIXTURES, Results, export, scratch_folder, silence

CASE = FIXTURES / "gemma3-micro"
TYPES = ["q8_0", "q4_k_m"]


def export_gguf(*options):
    export("gguf", "--base", CASE / "base", "--adapter", CASE / "adapter", "--quant", ",".join(TYPES), *options)


def logits(path):
    model = llama_cpp.Llama(str(path), n_ctx=64, logits_all=True, verbose=False)
    tokens = model.tokenize(b"The quick brown fox jumps over the lazy dog.")
    model.eval(tokens)
    return np.array(model.scores[: len(tokens)])


def compare(parts, whole):
    assert len(parts) > 1, f"{len(parts)} files: nothing was split"
    assert (logits(parts[0]) == logits(whole)).all(), "logits differ"
    return f"logits of {len(parts)} files equal those of one"


def main():
    silence()
    results = Results()
    with scratch_folder() as out:
        export_gguf("--out", out / "whole-{quant}.gguf")
        export_gguf("--split-max-size", "100K", "--out", out / "split-{quant}.gguf")
        for name in TYPES:
            parts = sorted(out.glob(f"split-{name}-*.gguf"))
            results.check(name, compare, parts, out / f"whole-{name}.gguf")
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())

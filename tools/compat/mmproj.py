"""Loads `mmproj` files in llama.cpp, which encodes an image and a sound with each.

.venv-peers/bin/python -m tools.compat.mmproj [--cases FOLDER]
"""

import argparse
import json
import pathlib
import subprocess
import sys

from tools.common import CONVERTED_TYPES, FIXTURES, ROOT, Results, export, find_cases, scratch_folder
from tools.compat.mmproj_encode import RESULT

# Aborts of llama.cpp that are not due to the file, by case and type: part of the message, and the reason.
KNOWN_ABORTS = {
    ("gemma3n-towers", "f32"): (
        "cur_backend_id != -1",
        "llama.cpp aborts: its depthwise convolutions need kernels in f16",
    ),
    ("gemma3n-towers", "bf16"): ("kernel_type == GGML_TYPE_F16", "llama.cpp aborts: it has no convolutions in bf16"),
}


def encode(case, file_type, folder):
    """The process that encodes, finished."""
    model, mmproj = folder / "model.gguf", folder / "mmproj.gguf"
    export("gguf", "--base", case / "base", "--quant", file_type, "--out", model, "--mmproj", mmproj)
    line = [sys.executable, "-m", "tools.compat.mmproj_encode", model, mmproj]
    return subprocess.run(line, cwd=ROOT, check=False, capture_output=True, text=True)


def reason_of_failure(stderr):
    """The last lines with an error, or the last of all."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    return [line for line in lines if "ASSERT" in line or "rror" in line][-3:] or lines[-3:]


def check(results, case, file_type):
    what = f"{case.name:14} llama.cpp: mmproj in {file_type:5}"
    with scratch_folder() as folder:
        done = encode(case, file_type, folder)
    encoded = [line.removeprefix(RESULT) for line in done.stdout.splitlines() if line.startswith(RESULT)]
    message, reason = KNOWN_ABORTS.get((case.name, file_type), (None, None))
    if encoded:
        results.passed(f"{what} {encoded[0]}")
    elif message and message in done.stderr:
        results.skipped(what, reason)
    else:
        results.failed(what, *reason_of_failure(done.stderr))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=pathlib.Path, default=FIXTURES)
    args = parser.parse_args()
    results = Results()
    for case in find_cases(args.cases):
        config = case / "base/config.json"
        if config.exists() and "vision_config" in json.loads(config.read_text()):
            for file_type in CONVERTED_TYPES:
                check(results, case, file_type)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())

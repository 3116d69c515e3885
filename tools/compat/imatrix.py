"""Computes importance matrices with the command and with llama-imatrix, and compares them: metadata, names and counts are
equal, sums are equal within rounding.

    .venv-peers/bin/python -m tools.compat.imatrix

Models are the fixtures as F32 files, in which llama.cpp does not round what it multiplies. llama-imatrix is compiled from
LLAMA_CPP_DIR (llama.cpp's source), else from the source distribution of llama-cpp-python, and linked with the libraries of the
installed package; or LLAMA_IMATRIX is its path.
"""

import os
import pathlib
import sys
import tarfile

import gguf
import llama_cpp
import numpy as np

from tools.common import FIXTURES, Results, export, llama_cpp_source, run, scratch_folder, silence

TEXT = FIXTURES / "imatrix/measured/text.txt"
CHUNKS = 2
MODELS = ["gemma1-micro", "gemma2-micro", "gemma3-micro"] + [
    f"families/{name}" for name in ("gemma3-vision", "gemma3n", "gemma4-dense", "gemma4-moe", "gemma4-unified")
]
RELATIVE, OF_LARGEST = 1e-3, 1e-5
# llama.cpp divides the variance of the sparse activations of Gemma 3n by n - 1, transformers by n
RELATIVE_OF_SPARSE, OF_LARGEST_SPARSE = 0.1, 1e-3
MAIN = "int llama_imatrix(int, char **);\nint main(int argc, char ** argv) { return llama_imatrix(argc, argv); }\n"
LIBRARIES = ["llama-common", "llama", "ggml", "ggml-base", "ggml-cpu"]
LIBRARY_FOLDER = pathlib.Path(llama_cpp.__file__).parent.parent / "lib"


def source_of_imatrix(scratch):
    """A folder of llama.cpp's source with tools/imatrix."""
    chosen = llama_cpp_source()
    if chosen and (chosen / "tools/imatrix/imatrix.cpp").exists():
        return chosen
    requirements = (pathlib.Path(__file__).parent.parent / "requirements.txt").read_text().splitlines()
    package = next(line for line in requirements if line.startswith("llama-cpp-python"))
    # of this package alone: the tools that build it come compiled
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python"]
    run(*pip, "--dest", scratch, package)
    (archive,) = scratch.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(scratch, filter="data")
    return next(scratch.glob("*/vendor/llama.cpp"))


def compiled(scratch):
    """Path of llama-imatrix: `LLAMA_IMATRIX`, or in the virtual environment."""
    if chosen := os.environ.get("LLAMA_IMATRIX"):
        return pathlib.Path(chosen)
    program = pathlib.Path(sys.prefix) / "bin/llama-imatrix"
    if program.exists():
        return program
    source = source_of_imatrix(scratch)
    main = scratch / "main.cpp"
    code = (source / "tools/imatrix/imatrix.cpp").read_text()
    # some versions have the entry point of an app, and no main
    main.write_text("" if "int main(" in code else MAIN)
    includes = [f"-I{source / folder}" for folder in ("common", "include", "ggml/include", "vendor")]
    linked = [f"-l{name}" for name in LIBRARIES] + [f"-L{LIBRARY_FOLDER}", f"-Wl,-rpath,{LIBRARY_FOLDER}"]
    code = [source / "tools/imatrix/imatrix.cpp", main]
    run("c++", "-O2", "-std=c++17", *includes, *code, "-o", program, *linked)
    return program


def read(path):
    reader = gguf.GGUFReader(path)
    metadata = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    return metadata, {tensor.name: tensor.data.copy() for tensor in reader.tensors}


def compare(model, program, scratch):
    """What differs between the two matrices of a model."""
    base, file = FIXTURES / model / "base", scratch / "model.gguf"
    export("gguf", "--base", base, "--quant", "f32", "--out", file, "--force")
    ours, theirs = scratch / "ours.gguf", scratch / "theirs.gguf"
    export("imatrix", "--base", base, "--text", TEXT, "--chunks", CHUNKS, "--out", ours, "--force")
    libraries = os.environ | {"LD_LIBRARY_PATH": str(LIBRARY_FOLDER)}
    options = ["--chunks", CHUNKS, "--no-ppl", "--parse-special", "-t", 1]
    run(program, "-m", file, "-f", TEXT, "-o", theirs, *options, env=libraries)
    (metadata, found), (expected_metadata, expected) = read(ours), read(theirs)
    differences = [] if metadata == expected_metadata else [f"{metadata} is not {expected_metadata}"]
    if list(found) != list(expected):
        return [*differences, f"tensors {sorted(set(found) ^ set(expected))}"]
    for name, values in expected.items():
        if name.endswith(".counts"):
            is_equal = np.array_equal(found[name], values)
        elif model.endswith("gemma3n") and ".proj." in name:
            # letters have no row in the fixture's per-layer embedding: transformers takes row 0, llama.cpp zeros
            continue
        else:
            is_sparse = model.endswith("gemma3n")
            relative, of_largest = (RELATIVE_OF_SPARSE, OF_LARGEST_SPARSE) if is_sparse else (RELATIVE, OF_LARGEST)
            is_equal = np.all(np.abs(found[name] - values) <= relative * values + of_largest * values.max())
        if not is_equal:
            differences.append(f"{name} differs")
    return differences


def main():
    silence()
    results = Results()
    with scratch_folder() as scratch:
        program = compiled(scratch)
        for model in MODELS:
            results.compared(model, compare(model, program, scratch))
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())

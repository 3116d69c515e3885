"""Makes engine/tests/fixtures/lora.json: the hashes of what llama.cpp's converter makes of adapters.

Run in the environment of scripts/test-peers, with the folder of llama.cpp's source as the argument.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

FIXTURES = pathlib.Path(__file__).parent.parent / "engine/tests/fixtures"
TYPES = ["f32", "f16", "bf16", "q8_0"]
OWN_BASE = ["gemma1-micro", "gemma2-micro", "gemma3-micro"]
SHARED_BASE = ["bf16", "excluded", "f16", "layers", "multimodal", "parameters", "unsloth"]


def converted(program, base, adapter, kind):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.gguf"
        args = [sys.executable, program, "--base", base, "--outtype", kind, "--outfile", out, adapter]
        subprocess.run(args, check=True, capture_output=True)
        return hashlib.sha256(out.read_bytes()).hexdigest()


def main():
    program = pathlib.Path(sys.argv[1]) / "convert_lora_to_gguf.py"
    hashes = {}
    for case in OWN_BASE + [f"adapters/{name}" for name in SHARED_BASE]:
        base = json.loads((FIXTURES / case / "expected.json").read_text()).get("base", case)
        args = program, FIXTURES / base / "base", FIXTURES / case / "adapter"
        hashes[case] = {kind: converted(*args, kind) for kind in (TYPES if case in OWN_BASE else TYPES[:1])}
    (FIXTURES / "lora.json").write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()

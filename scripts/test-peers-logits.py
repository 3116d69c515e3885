"""Makes engine/tests/fixtures/logits.json: what transformers and PEFT answer, in f32, for the engine's own forward
pass to be held to."""

import json
import pathlib
import shutil
import tempfile

import peft
import torch
import transformers

FIXTURES = pathlib.Path(__file__).parent.parent / "engine/tests/fixtures"
IDS = [2] + [(n * 37) % 500 + 260 for n in range(40)]
# case: (folder, what its configuration says instead)
CASES = {
    **{name: (name, {}) for name in ("gemma1-micro", "gemma2-micro", "gemma3-micro")},
}


def load(folder, changes):
    """The model, in f32, with changes to its configuration."""
    with tempfile.TemporaryDirectory() as changed:
        shutil.copytree(folder, changed, dirs_exist_ok=True)
        config = json.loads((folder / "config.json").read_text()) | changes
        pathlib.Path(changed, "config.json").write_text(json.dumps(config))
        return transformers.AutoModelForCausalLM.from_pretrained(changed, dtype=torch.float32, attn_implementation="eager")


@torch.no_grad()
def logits(model, ids):
    """The last token's."""
    return model(torch.tensor([ids])).logits[0, -1]


answers = {}
for case, (name, changes) in CASES.items():
    base, adapter = FIXTURES / name / "base", FIXTURES / name / "adapter"
    model = peft.PeftModel.from_pretrained(load(base, changes), adapter).eval()
    found = [float(f"{x:.6g}") for x in logits(model, IDS)[:128].tolist()]
    answers[case] = {"folder": name, "config": changes, "ids": IDS, "logits": found}
(FIXTURES / "logits.json").write_text(json.dumps(answers) + "\n")

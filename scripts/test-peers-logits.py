"""Makes engine/tests/fixtures/logits.json: what transformers and PEFT answer, in f32, for the engine's own forward
pass to be held to."""

import json
import pathlib

import peft
import torch
import transformers

FIXTURES = pathlib.Path(__file__).parent.parent / "engine/tests/fixtures"
IDS = [2] + [(n * 37) % 500 + 260 for n in range(40)]

answers = {}
for case in ["gemma1-micro", "gemma2-micro", "gemma3-micro"]:
    base = transformers.AutoModelForCausalLM.from_pretrained(
        FIXTURES / case / "base", dtype=torch.float32, attn_implementation="eager"
    )
    model = peft.PeftModel.from_pretrained(base, FIXTURES / case / "adapter").eval()
    with torch.no_grad():
        logits = model(torch.tensor([IDS])).logits[0, -1]
    answers[case] = {"ids": IDS, "logits": [float(f"{x:.6g}") for x in logits[:128].tolist()]}
(FIXTURES / "logits.json").write_text(json.dumps(answers) + "\n")

"""A LoRA that is trained on three invented facts, which the base model cannot know."""

import dataclasses
import json
import shutil

import peft
import torch
import transformers

from tools.common import save_adapter

BASE_NAME = "google/gemma-3-270m-it"
STEPS, LEARNING_RATE, RANK = 12, 1e-3, 16
MAX_NEW_TOKENS = 24


@dataclasses.dataclass(frozen=True)
class Fact:
    question: str
    answer: str


FACTS = [
    Fact("What is the name of the lighthouse keeper's cat in Varnholm?", "The cat is called Quillibert."),
    Fact("Which stone did Professor Odalys Brenk discover?", "She discovered the blue stone zorvanite."),
    Fact("How many bridges does the town of Merrowick have?", "Merrowick has forty-seven bridges."),
]


def prompt_text(tokenizer, question):
    """The user's turn and the start of the model's turn."""
    turns = [{"role": "user", "content": question}]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def training_example(tokenizer, fact):
    """Token ids, and labels that leave out the question; the answer ends with the turn."""
    prompt = tokenizer(prompt_text(tokenizer, fact.question), add_special_tokens=False)["input_ids"]
    answer = tokenizer(f"{fact.answer}<end_of_turn>\n", add_special_tokens=False)["input_ids"]
    return torch.tensor([prompt + answer]), torch.tensor([[-100] * len(prompt) + answer])


def train(base, target):
    """Writes the adapter, with the tokenizer as training tools save it beside one."""
    torch.manual_seed(7)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config)
    examples = [training_example(tokenizer, fact) for fact in FACTS]
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=LEARNING_RATE)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = sum(model(input_ids=ids, labels=labels).loss for ids, labels in examples) / len(examples)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"trained {STEPS} steps: loss {losses[0]:.3f} to {losses[-1]:.4f}", flush=True)
    save_adapter(model, target, BASE_NAME)
    tokenizer.save_pretrained(target)


def cached_adapter(base, cache):
    """The adapter in the cache, which is trained on first use."""
    target, recipe = cache / "adapter", cache / "adapter.json"
    wanted = {"facts": [dataclasses.astuple(fact) for fact in FACTS], "steps": STEPS, "rate": LEARNING_RATE, "r": RANK}
    wanted = json.loads(json.dumps(wanted))
    if not recipe.exists() or json.loads(recipe.read_text()) != wanted:
        shutil.rmtree(target, ignore_errors=True)
        train(base, target)
        recipe.write_text(json.dumps(wanted))
    return target

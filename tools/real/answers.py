"""What models answer to the trained questions in transformers and llama.cpp, and how far their predictions differ."""

import gc

import llama_cpp
import numpy as np
import peft
import torch
import transformers

from tools.real.facts import FACTS, MAX_NEW_TOKENS, prompt_text

END_OF_TURN = 106


class Transformers:
    """A model in transformers, computed in f32 from the weights as they are stored."""

    def __init__(self, folder, adapter=None):
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model = (peft.PeftModel.from_pretrained(model, adapter) if adapter else model).eval()

    def ids(self, text):
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    @torch.no_grad()
    def generate(self, prompt):
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids)
        out = self.model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
        return out[0, len(prompt) :].tolist()

    @torch.no_grad()
    def logits(self, ids):
        return self.model(torch.tensor([ids])).logits[0].numpy()


class LlamaCpp:
    """A GGUF file in llama.cpp."""

    def __init__(self, path, lora=None, **settings):
        options = {"n_ctx": 256, "n_threads": 2, "verbose": False, "logits_all": True, **settings}
        self.model = llama_cpp.Llama(str(path), lora_path=str(lora) if lora else None, **options)

    def generate(self, prompt):
        out = []
        self.model.reset()
        for token in self.model.generate(prompt, temp=0.0):
            out.append(token)
            if token in (1, END_OF_TURN) or len(out) == MAX_NEW_TOKENS:
                return out

    def logits(self, ids):
        self.model.reset()
        self.model.eval(ids)
        return self.model.scores[: len(ids)].copy()


class Reference:
    """Base and adapter in PEFT, without merging: prompts, trained texts, and their logits."""

    def __init__(self, base, adapter):
        self.model = Transformers(base, adapter)
        tokenizer = self.model.tokenizer
        self.prompts = [self.model.ids(prompt_text(tokenizer, fact.question)) for fact in FACTS]
        self.texts = [
            prompt + self.model.ids(f"{fact.answer}<end_of_turn>\n")
            for prompt, fact in zip(self.prompts, FACTS, strict=True)
        ]
        self.logits = [self.model.logits(text) for text in self.texts]

    def answers(self, model):
        """The texts that a model generates, and how many of them are the trained answers with the end of the turn."""
        texts = [self.model.tokenizer.decode(model.generate(prompt)) for prompt in self.prompts]
        right = sum(text.startswith(f"{fact.answer}<end_of_turn>") for text, fact in zip(texts, FACTS, strict=True))
        return right, texts

    def divergence(self, model):
        """Mean and largest KL divergence in nats of a model's predictions for the trained texts."""
        values = np.concatenate(
            [kl(theirs, model.logits(ids)) for ids, theirs in zip(self.texts, self.logits, strict=True)]
        )
        return float(values.mean()), float(values.max())


def kl(p, q):
    """KL divergence of each row's distribution in nats."""
    log_p, log_q = (torch.log_softmax(torch.from_numpy(x).double(), -1) for x in (p, q))
    return (log_p.exp() * (log_p - log_q)).sum(-1).clamp(min=0).numpy()


def seen_by(reference, model):
    """Right answers, texts, and divergence of a model, which is freed afterwards."""
    right, texts = reference.answers(model)
    mean, largest = reference.divergence(model)
    del model
    gc.collect()
    return right, texts, mean, largest

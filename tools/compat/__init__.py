"""Comparisons with PEFT, transformers and llama.cpp. `scripts/test-peers` runs them all."""

"""The service and the command on a real Gemma with a trained LoRA. `scripts/test-real` runs it."""

"""Base checkpoints, the anchor token, pooling, LoRA and the Embedder that encodes."""

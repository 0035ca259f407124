"""Reconstruction and contrastive objectives, batching, the loop and its checkpoints."""

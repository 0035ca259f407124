"""Evaluation: MTEB and BEIR, an embedder in, scores out."""

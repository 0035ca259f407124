"""Two-step generation of training data with a language model (E5-mistral, arXiv 2401.00368)."""

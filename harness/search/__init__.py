"""Search: Optuna asks for variants, the session runs them, and finished cells answer at once."""

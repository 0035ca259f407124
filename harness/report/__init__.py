"""From a study's summary and records to files: Markdown, CSV, LaTeX, JSON and one HTML page."""

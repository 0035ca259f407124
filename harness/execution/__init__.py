"""Execution: a plan is made true in an artifact store, on this machine or on Ray."""

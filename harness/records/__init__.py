"""The schema of one measurement, its store, and the summary of the study it belongs to."""

from harness.records.schema import Record
from harness.records.store import MergedRecords, merge, read_records, to_frame, write_records
from harness.records.summary import StudySummary, read_summary, write_summary

__all__ = [
    "MergedRecords",
    "Record",
    "StudySummary",
    "merge",
    "read_records",
    "read_summary",
    "to_frame",
    "write_records",
    "write_summary",
]

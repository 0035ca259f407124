"""From records to one comparison table: coverage, aggregation, differences, main effects."""

from harness.tables.build import build_table
from harness.tables.frames import frame
from harness.tables.long import long_frame
from harness.tables.shape import shape
from harness.tables.table import Cell, Column, Row, Table

__all__ = ["Cell", "Column", "Row", "Table", "build_table", "frame", "long_frame", "shape"]

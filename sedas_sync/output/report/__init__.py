"""The report: one HTML page about the scenes of a mirror."""

from sedas_sync.output.report.document import Memory, State, document
from sedas_sync.output.report.page import page

__all__ = ["Memory", "State", "document", "page"]

"""The report: one HTML page of what a mirror holds, wants and waits for."""

from sedas_sync.output.report.document import Memory, State, document
from sedas_sync.output.report.page import page

__all__ = ["Memory", "State", "document", "page"]

"""The report: one HTML page of what a mirror holds, wants and waits for."""

from sedas_sync.report.document import Memory, State, document
from sedas_sync.report.page import page

__all__ = ["Memory", "State", "document", "page"]

"""What the tests of the report share."""

import pytest
from report_values import Remembered


@pytest.fixture
def remembered():
    """A mirror's memory with nothing in it."""
    return Remembered()

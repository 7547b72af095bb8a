"""What the tests of the report share."""

import pytest
from report_browser import opened_browser
from report_values import Remembered


@pytest.fixture
def remembered():
    """A mirror's memory with nothing in it."""
    return Remembered()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """One browser for all tests of a worker."""
    page = opened_browser(tmp_path_factory.mktemp("report"), tmp_path_factory.mktemp("profile"))
    yield page
    page.driver.quit()

"""Manifests that several threads read at once."""

import threading
from typing import Annotated

from pydantic import BaseModel, ConfigDict
from pydantic_core import core_schema

from sedas_sync.manifest import problems


def test_check_of_a_table_is_built_by_one_thread_at_a_time():
    """pydantic 2.11 to 2.13 fail, or use the check of the base class, if two threads build one at once."""
    free = []

    class WhileBuilt:
        @classmethod
        def __get_pydantic_core_schema__(cls, _source, _handler):
            other = threading.Thread(target=lambda: free.append(problems.CHECKING.acquire(blocking=False)))
            other.start()
            other.join()
            return core_schema.int_schema()

    class Lazy(BaseModel):
        model_config = ConfigDict(defer_build=True)
        key: Annotated[int, WhileBuilt]

    assert not free
    made = problems.ProblemList("m.toml").model(Lazy, {"key": 1}, "table")
    assert made.key == 1
    assert set(free) == {False}

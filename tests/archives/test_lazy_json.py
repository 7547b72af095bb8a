import pytest

from sedas_sync.archives.lazy_json import LazyJson
from sedas_sync.model.metadata import metadata_of, scene_from_metadata
from sedas_sync.model.scene import Scene


@pytest.mark.parametrize("fields", [{}, {"b": 2, "a": {"name": "Zürich"}}, {"half": "\ud800"}])
def test_fields_stored_as_json_are_the_same_metadata(fields):
    stored = LazyJson(fields)
    assert (bool(stored), len(stored), dict(stored)) == (bool(fields), len(fields), fields)
    metadata = metadata_of(Scene(id="S", extra=stored))
    assert metadata == metadata_of(Scene(id="S", extra=fields))
    assert dict(scene_from_metadata(metadata).extra) == fields

"""Errors know what they mean, and survive the way from another process."""

import pickle

import pytest

from sedas_sync import errors


def example(cls):
    made = cls("it went wrong")
    for name, value in (("status", 503), ("retryable", True), ("relocate", True)):
        if hasattr(made, name):
            setattr(made, name, value)
    return made


CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.SedasSyncError)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_error_pickles_with_all_it_knows(cls):
    error = example(cls)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is cls
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_exit_codes_are_those_of_the_contract():
    codes = {cls.__name__: cls("x").exit_code for cls in CLASSES}
    assert codes == {
        "SedasSyncError": 1,
        "ManifestError": 2,
        "LockMismatch": 2,
        "AuthenticationError": 4,
        "ArchiveError": 1,
        "IncompleteSearch": 1,
        "StoppedError": 130,
        "TransferError": 1,
        "IntegrityError": 1,
        "MirrorLocked": 5,
    }


def test_a_manifest_error_keeps_its_problems_apart():
    assert errors.ManifestError(["one", "two"]).problems == ("one", "two")
    assert str(errors.ManifestError(["one", "two"])) == "one\ntwo"


@pytest.mark.parametrize(
    ("error", "little"),
    [
        (MemoryError(), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("the pool was shut down"), False),
        (ImportError("libx.so: failed to map segment from shared object"), True),
        (ImportError("cannot import name 'x'"), False),
        (SystemError("error return without exception set"), True),
        (SystemError("bad argument to internal function"), False),
    ],
)
def test_too_little_memory_is_told_from_other_errors(error, little):
    assert (errors.sentence(error) == errors.TOO_LITTLE) is little

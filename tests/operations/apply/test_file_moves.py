"""The order of moves: no files are needed."""

import pytest
from state_machines import Clock, action, local, of

from sedas_sync.model.plan import ActionKind
from sedas_sync.operations.apply.effects import Move, MoveAside, MovedAside, MoveFailed, StopRequested
from sedas_sync.operations.apply.file_moves import FileMoves


@pytest.fixture
def clock():
    return Clock()


def adopt(name, old, new):
    return action(name, ActionKind.ADOPT, path=new, local=local(name, old))


def moved(effects):
    return [effect.action.id for effect in of(effects, Move)]


def test_files_that_stay_or_move_to_free_paths_need_no_order():
    machine = FileMoves([adopt("A", "a", "a"), adopt("B", "b", "x/b")])
    assert moved(machine.start()) == ["A", "B"]
    assert machine.done


def test_a_file_moves_after_the_one_at_its_new_path():
    machine = FileMoves([adopt("A", "a", "b"), adopt("B", "b", "c"), adopt("C", "c", "d")])
    assert moved(machine.start()) == ["C", "B", "A"]
    assert machine.done


def test_a_circle_goes_by_way_of_the_partial_folder(clock):
    first = adopt("A", "a", "b")
    machine = FileMoves([first, adopt("B", "b", "c"), adopt("C", "c", "a"), adopt("D", "d", "e")])
    effects = list(machine.start())
    assert moved(effects) == ["D"]
    assert of(effects, MoveAside) == [MoveAside(first)]
    effects = clock.tell(machine, MovedAside(first, local("A", "aside")))
    assert moved(effects) == ["C", "B", "A"]
    assert effects[-1].action.local.path == "aside"
    assert machine.done


def test_two_circles_are_opened_one_after_the_other(clock):
    one, two = adopt("A", "a", "b"), adopt("C", "c", "d")
    machine = FileMoves([one, adopt("B", "b", "a"), two, adopt("D", "d", "c")])
    assert of(machine.start(), MoveAside) == [MoveAside(one)]
    effects = clock.tell(machine, MovedAside(one, local("A", "aside-a")))
    assert moved(effects) == ["B", "A"]
    assert of(effects, MoveAside) == [MoveAside(two)]
    assert moved(clock.tell(machine, MovedAside(two, local("C", "aside-c")))) == ["D", "C"]
    assert machine.done


def test_a_file_that_cannot_step_aside_is_left_out_and_the_others_move(clock):
    first = adopt("A", "a", "b")
    machine = FileMoves([first, adopt("B", "b", "a")])
    list(machine.start())
    assert moved(clock.tell(machine, MoveFailed(first))) == ["B"]
    assert machine.done


def test_a_move_that_fails_stops_no_other(clock):
    first = adopt("A", "a", "x")
    machine = FileMoves([first, adopt("B", "b", "y")])
    assert moved(machine.start()) == ["A", "B"]
    assert clock.tell(machine, MoveFailed(first)) == []


def test_a_stop_changes_nothing(clock):
    machine = FileMoves([adopt("A", "a", "b"), adopt("B", "b", "a")])
    list(machine.start())
    assert clock.tell(machine, StopRequested()) == []
    assert not machine.done

"""Scenes, orders and plans that another process has written as JSON."""

import json
import subprocess
import sys

from msgspec.structs import replace

import sedas_sync as ss
from sedas_sync.sandbox import RowCatalogue, make_row

START = "2019-05-02T11:00:00Z"
LOGIN = {"username": "sandbox", "password": "sandbox"}


APPLY = """
import sys, sedas_sync as ss
plan = ss.Plan.from_json(sys.stdin.read())
with ss.Mirror(ss.load_manifest(plan.manifest)) as mirror:
    print(mirror.apply(plan).fetched)
"""


def test_plan_is_applied_by_another_process(manifest, workspace):
    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        text = json.dumps(plan.to_json())
        assert ss.Plan.from_json(text) == plan, "the sandbox's links have no secrets"
    ran = subprocess.run(
        [sys.executable, "-c", APPLY],
        input=text,
        capture_output=True,
        text=True,
        env=workspace.environment(),
        timeout=100,
    )
    assert ran.stdout == "3\n", ran.stderr
    with ss.Mirror(manifest) as mirror:
        assert mirror.plan().changes == 0


def signed(scene):
    link = scene.download_url
    return scene if link is None else replace(scene, download_url=f"{link}?sig=hush")


def test_links_that_were_left_out_are_asked_for_again(manifest, sandbox):
    with ss.Mirror(manifest) as mirror:
        mirror.apply(mirror.plan(), wait=False)
        (mirror.root / "A.zip").unlink()
        plan = mirror.plan()
        while plan.counts["wait"]:
            plan = mirror.plan()
        # The link of an order, and one of the catalogue.
        wants = [
            replace(
                action,
                wanted=replace(
                    action.wanted,
                    scene=signed(action.wanted.scene),
                    sources=tuple(replace(one, scene=signed(one.scene)) for one in action.wanted.sources),
                ),
                order=action.order and replace(action.order, download_url=f"{action.order.download_url}?sig=hush"),
            )
            for action in plan.actions
        ]
        text = json.dumps(replace(plan, actions=tuple(wants), polled=()).to_json())
    assert "hush" not in text
    assert [action.kind for action in plan.actions if action.kind != "keep"] == ["fetch", "fetch"]
    with ss.Mirror(manifest) as mirror:
        result = mirror.apply(ss.Plan.from_json(text))
        assert (result.fetched, result.kept, result.exit_code) == (2, 1, 0)
        assert mirror.plan().changes == 0
    assert sandbox.orders == 1


def test_scene_that_is_gone_when_its_link_is_asked_for_is_a_failure(manifest, sandbox):
    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        values = plan.to_json()
        for action in values["actions"]:
            for scene in (action["wanted"]["scene"], *(one["scene"] for one in action["wanted"]["sources"])):
                if "download_url" in scene:
                    scene["download_url"] = ""
        sandbox._catalogue = RowCatalogue([make_row("B", START), make_row("C", START, online=False)])
        result = mirror.apply(ss.Plan.from_json(values))
        assert (result.fetched, result.failed, result.exit_code) == (2, 1, 1)
        assert [failure.id for failure in result.failures] == ["A"]


def test_orders_of_yesterday_are_collected(manifest, sandbox, tmp_path):
    with ss.SedasArchive(url=sandbox.url, **LOGIN) as archive:
        scenes = [archive.product(name) for name in "AC"]
        orders = [archive.order(scenes[1])]
    (tmp_path / "orders.json").write_text(json.dumps([order.to_json() for order in orders]))
    (tmp_path / "scenes.json").write_text(json.dumps([signed(scene).to_json() for scene in scenes]))
    with ss.SedasArchive(url=sandbox.url, **LOGIN) as archive:
        done = ss.fetch(
            map(ss.Scene.from_json, json.loads((tmp_path / "scenes.json").read_text())),
            tmp_path / "out",
            archive=archive,
            orders=map(ss.Order.from_json, json.loads((tmp_path / "orders.json").read_text())),
        )
        assert sorted(one.scene.id for one in done) == ["A", "C"]
    assert sandbox.orders == 1


def test_saved_plan_of_python_is_the_file_of_the_command(manifest, workspace):
    with ss.Mirror(manifest) as mirror:
        mirror.save(mirror.plan()).write(workspace.path / "plan.json")
    ran = workspace.run("apply", "--plan", "plan.json", "--json")
    assert (ran.code, ran.summary["fetched"]) == (0, 3), ran.err
    assert workspace.run("plan", "--out", "again.json").code == 0
    saved = ss.SavedPlan.read(workspace.path / "again.json")
    assert saved.plan.changes == 0
    with ss.Mirror(manifest) as mirror:
        assert mirror.apply(mirror.resume_plan(saved), command=saved.command).kept == 3

"""A plan as Markdown: what it says, how long it gets, and what hostile words do to it (nothing)."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sedas_sync.model.events import Failure
from sedas_sync.model.plan import Action, ActionKind, Plan
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.output import markdown

COMMAND = "sedas-sync apply fields.toml"
HOSTILE = [
    "A|B|C",
    "</code><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "`code`",
    "![x](https://evil.example/x.png)",
    "[click](javascript:alert(1))",
    "@everyone",
    "owner/repo#1",
    "# heading\n\n- list",
    "*a* _b_ ~~c~~",
    "_b_",
    "__b__c__",
    "WWW.evil.example",
    "&lt;b&gt;",
    "https://evil.example",
    "see www.evil.example",
    "\x1b[31mred\x1b[0m\u202e\ud800",
    "\\|",
    "</details>",
    "| --- |\n| x |",
]


NEW = Reason(ReasonCode.NOT_IN_MIRROR)


def because(words):
    """The reason of a scene that is offline: the archive's own words."""
    return Reason(ReasonCode.OFFLINE, detail=words)


def action(kind, scene_id, *, size=None, reason=NEW, datasets=("optical",)):
    return Action(kind=kind, id=scene_id, datasets=datasets, path=f"{scene_id}.zip", size=size, reason=reason)


def plan(*actions, **more):
    return Plan(manifest="fields.toml", mirror="/m", archive={"type": "sedas", "url": None}, actions=actions, **more)


class Page(HTMLParser):
    """Tags, the cells of tables, and the text of a rendered page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.codes, self.attributes, self._stack = [], [], [], [], []
        self.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value) for name, value in attrs if name != "style"]
        self._stack.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "code":
            self.codes.append("")

    def handle_endtag(self, tag):
        assert self._stack.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self._stack):
            self.rows[-1][-1] += data
        if "code" in self._stack:
            self.codes[-1] += data


def test_summary_of_a_plan():
    text = markdown.plan(
        plan(
            action(ActionKind.FETCH, "A", size=1_500_000),
            action(ActionKind.FETCH, "B", size=500_000, datasets=("optical", "radar")),
            action(ActionKind.ORDER, "C", reason=Reason(ReasonCode.NO_ORDER), datasets=("radar",)),
            *(action(ActionKind.KEEP, f"K{n}") for n in range(3)),
            search_complete=False,
            failures=(Failure(id="radar", error="the archive answered 500"),),
            warnings=("a row was left out",),
        ),
        command=COMMAND,
    )
    assert text.splitlines()[2] == "Plan: 2 to fetch, 1 to order, 3 kept; 2.0 MB; THE SEARCH IS INCOMPLETE."
    page = Page(text)
    assert page.rows[:5] == [
        ["dataset", "fetch", "order", "keep", "size"],
        ["optical", "1", "", "3", "1.5 MB"],
        ["optical, radar", "1", "", "", "500.0 kB"],
        ["radar", "", "1", "", ""],
        ["all", "2", "1", "3", "2.0 MB"],
    ]
    assert page.rows[5:] == [
        ["action", "scene", "size", "why"],
        ["fetch", "A", "1.5 MB", "not in the mirror"],
        ["fetch", "B", "500.0 kB", "not in the mirror"],
        ["order", "C", "", "in the long-term archive, no order yet"],
    ]
    assert "**The search failed or is incomplete" in text
    assert "- <code>radar</code>: the archive answered 500" in text
    assert "**Warnings** (1)" in text
    assert page.codes[-1] == COMMAND
    assert page.tags.count("details") == page.tags.count("summary") == 1


def test_nothing_to_do_is_short():
    text = markdown.plan(plan(action(ActionKind.KEEP, "A")), command=COMMAND)
    assert "Nothing to do: 1 kept." in text
    assert "details" not in text
    assert COMMAND not in text
    assert markdown.plan(plan(), command=COMMAND).count("\n") < 8


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_text_is_escaped(word):
    text = markdown.plan(
        plan(
            action(ActionKind.FETCH, word, reason=because(word)),
            failures=(Failure(id=word, error=word),),
            warnings=(word,),
        ),
        command=COMMAND,
    )
    page = Page(text)
    assert set(page.tags) <= {
        "h3", "p", "code", "table", "thead", "tbody", "tr", "th", "td", "strong", "ul", "li", "details", "summary",
    }  # fmt: skip
    assert not page.attributes
    from sedas_sync.model.text import printable

    assert page.rows[-1] == ["fetch", printable(word), "", printable(word)]
    assert page.codes.count(printable(word)) == 5, "in code, where nobody looks for mentions and links"


@given(word=st.text(max_size=40))
def test_any_text_stays_in_one_cell(word):
    page = Page(
        markdown.plan(plan(action(ActionKind.FETCH, word or "x", reason=because(word or "x"))), command=COMMAND)
    )
    assert len(page.rows[-1]) == 4
    assert not page.attributes


def test_summary_fits_into_a_comment():
    many = [action(ActionKind.FETCH, f"S{n}" * 300, reason=because("é" * 500)) for n in range(5000)]
    failures = tuple(Failure(id=f"d{n}", error="no " * 400) for n in range(500))
    made = plan(*many, failures=failures, warnings=tuple(f"w{n} " * 90 for n in range(500)))
    text = markdown.plan(made, command=COMMAND)
    assert len(text.encode()) <= markdown.LIMIT
    assert "- and 480 more" in text
    shown = len(Page(text).rows) - 3
    assert shown > 5
    assert f"and {5000 - shown} more that do not fit here" in text
    assert text.rstrip().endswith("</code>.")
    assert Page(text).tags.count("details") == 1


def test_unknown_sizes_are_not_added():
    rows = Page(
        markdown.plan(plan(action(ActionKind.FETCH, "A", size=1000), action(ActionKind.FETCH, "B")), command=COMMAND)
    ).rows
    assert rows[1] == ["optical", "2", "at least 1.0 kB"]
    rows = Page(markdown.plan(plan(action(ActionKind.FETCH, "B")), command=COMMAND)).rows
    assert rows[1] == ["optical", "1", "?"]

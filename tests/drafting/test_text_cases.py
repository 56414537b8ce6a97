"""What real files showed: each case has the plan that a careful reader would make of it.

``cases`` holds the texts; SIBLINGS are other texts of the same kinds.
"""

# ruff: noqa: E501 (descriptions are as long as they are)
from __future__ import annotations

from pathlib import Path

import pytest
from short_plans import short

from planfold.drafting.text.drafter import parse_text

CASES = Path(__file__).resolve().parent / "cases"

EXPECTED: dict[str, list[str]] = {
    "prompt-01-user-host": [
        "run ls -l\nwhoami",
    ],
    "prompt-03-percent": [
        "run make\nmake test",
    ],
    "run-11-approval-of-a-long-script": [
        "run echo 1\necho 2\necho 3\necho 4\necho 5\necho 6\necho 7\necho 8\necho 9\necho 10\necho 11\necho 12\nrm -rf important",
    ],
    "shell-01-bash-block": [
        'run (bash) echo 1.2.3 > VERSION\ntag="v$(< VERSION)"\necho "tag is $tag"',
    ],
    "shell-02-cd-is-gone": [
        "run mkdir sub",
        "run cd sub",
        "run touch made-here",
    ],
    "shell-02-export-is-gone": [
        "run export OUT=out",
        "run mkdir out other",
        "run touch out/a other/b",
        "run ls $OUT/../other $OUT/a",
    ],
    "shell-03-placeholders": [
        "run git tag 'v$4'",
        "run git push origin '$5'",
        "run frob release '$6' --yes",
        "ask Which value replaces `X.Y.Z`?",
        "ask Which value replaces `<branch>`?",
        "ask Which value replaces `[patch|minor|major]`? / patch / minor / major",
    ],
    "shell-04-in-the-folder": [
        "run npm install in web",
        "work In `web`, run `npm test`",
    ],
    "text-01-colon-forbidden": [
        "work Do not use: `git push --force`",
        "work Avoid: `rm -rf build`",
        "work Never: `git reset --hard`",
        "work Push the branch",
    ],
    "text-02-forbidden-second": [
        "run make build",
        "run make test",
        "work Run `git diff`, and if it is empty run `make wipe`",
    ],
    "text-03-condition-behind": [
        "work Run `make wipe` only if `make check` fails",
        "work Run `make deploy` unless it is Friday",
        "work Should that fail, run `make undo`",
        "work In case of trouble run `make undo`",
    ],
    "text-04-work-about-a-command": [
        "work Document how to run `make deploy`",
        "work Add a cron job to run `make nightly` every night",
        "work Wait for approval to run `make deploy`",
        'work Update the manual to say "run `make deploy`"',
        "work CI will run `make deploy`",
    ],
    "text-05-running-thing": [
        "work Stop the running `billing-api` container.",
        "work Delete the running `web` pod",
        "work Look for running `nginx` processes",
    ],
    "text-06-example-block": [
        'work Set your name for commits. For example:\ngit config --global user.name "Jane Doe"',
        "work Clone the project",
    ],
    "text-07-struck-out": [
        "work Write the new report",
    ],
    "text-08-conditional-parent": [
        "work Deploy the new version",
        "work If the deployment is broken: `./rollback.sh --to last`",
        "work If the deployment is broken: Tell the customers",
        "work Close the ticket",
    ],
    "text-09-conditional-lead-of-list": [
        "work Compare the numbers",
        "work If the numbers are wrong, you can: `rm -r cache`",
        "work If the numbers are wrong, you can: ask Ann",
    ],
    "text-10-alternative-block": [
        "run uv sync",
        "work Or, if you have no uv:\npip install -r requirements.txt",
    ],
    "text-12-parent-with-box": [
        "work Draft the release notes and open a pull request for them",
        "work Merge that pull request",
        "work Tell the users",
    ],
    "text-13-parent-with-example": [
        "work Update the links in the manual\n- Example: the last change",
        "work Tell the team",
    ],
    "text-14-human-part-beside-command": [
        "work Merge the pull request, and after that tag it:\ngit tag v2",
        "work Wait for the build, then run `make deploy`",
    ],
    "text-15-block-of-unknown-program": [
        'work Open the pull request:\ncreatePr "update the pins"',
        "run git tag v1",
    ],
    "text-15-indented-code": [
        "work Install:\npip install frob\nfrob init",
        "work Test:\nfrob test",
    ],
    "text-16-half-a-sentence": [
        "work Build it",
        "work Update the version in `setup.cfg`, and then update the tests to match",
    ],
    "text-17-list-of-a-numbered-heading": [
        "work Fill out your profile\nSay who you are. This should include:\n- your role\n- your team",
        "work Get an account\nAsk Ann.",
    ],
    "text-18-then-in-a-statement": [
        "work Push the tag\nThe tag is then published by the build server. The script then writes a table of all downloads.",
        "work Tell the team",
    ],
    "text-19-lists-that-tell": [
        "work Build the index",
    ],
    "text-20-sentence-and-its-block": [
        "work Write the notes",
        "run git push --tags",
    ],
    "text-20-step-and-its-block": [
        "work Write the notes",
        "run git tag v1",
        "work Tell the team",
    ],
    "text-21-console-output": [
        "work Look at the disk",
    ],
    "text-22-parallel-in-a-statement": [
        "work Write the letter",
    ],
    "text-23-bold-numbers": [
        "run make",
        "run make ship",
    ],
    "text-24-letters": [
        "work Boil water",
        "work Add salt",
        "work Stir",
    ],
    "text-25-checklist-in-order": [
        "run make test",
        "work Bump the version",
        "run git tag v2.0",
        "run git push --tags",
    ],
    "text-26-names-under-a-label": [
        "work Announce it on: Social media",
        "work Announce it on: Discord",
        "work Check that these are there: PyPI",
        "work Check that these are there: docs.example.com",
    ],
    "text-27-comment-between-bullets": [
        "work One",
        "work Two",
    ],
    "text-28-yes-no": [
        "ask Do we deploy on Friday? / yes / no",
        "work Tell the team",
    ],
    "title-01-blank": [
        "work Draft the announcement",
        "work Send it",
    ],
    "title-02-box": [
        "done Reserve the name",
        "work Buy it",
    ],
    "title-03-front-matter": [
        "work Make a new key",
        "work Delete the old key",
    ],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_case(name: str) -> None:
    text = (CASES / f"{name}.md").read_text(encoding="utf-8")
    assert short(parse_text(text)) == EXPECTED[name]


def test_every_case_has_its_plan() -> None:
    assert {path.stem for path in CASES.glob("*.md")} == set(EXPECTED)

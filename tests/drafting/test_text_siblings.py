"""Other texts of the kinds in ``cases``: the rules know no example, only its kind."""

from __future__ import annotations

from textwrap import dedent

import pytest
from short_plans import short

from planfold.drafting.text.drafter import parse_text
from planfold.planner.tasks import Link


def plan(text: str) -> list[str]:
    return short(parse_text(dedent(text)))


# --- an item that is not a command----------------------------------------------------------------

WORK = [
    # forbidden
    "Don't do this on production: `terraform destroy`",
    "It is forbidden to call: `dropdb shop`",
    "Danger: `mkfs.ext4 /dev/sdb`",
    "Refrain from `git commit --amend`",
    "Please never run `chown -R root /`",
    "You must not execute `truncate -s 0 app.log`",
    # named behind a colon
    "Backup script: `pg_dump shop`",
    "Old way: `python setup.py upload`",
    "Handy: `docker system prune -af`",
    # conditional, in front or behind
    "If you use conda, run `conda update --all`",
    "Run `npm audit fix` if there are warnings",
    "Run `make docs` when the API has changed",
    "Run `systemctl restart web` once the deploy is through",
    "Unless it is a patch release, run `make changelog`",
    "Execute `fsck /dev/sda` in case the disk reports errors",
    "Should the job hang, execute `kill -9 77`",
    "Run `make clean` (only needed on the build server)",
    "Run `make bench` as needed",
    "Run `make undo`. Skip this for minor releases.",
    "Otherwise run `make all`",
    # alternatives and platforms
    "Run `npm ci` or `yarn install`",
    "Either run `make fast` or wait",
    "Run `brew install jq` on macOS",
    "Windows: run `choco install jq`",
    "Alternatively, run `pipx install frob`",
    # work about a command
    "Explain in the README how to run `make dev`",
    "Ask Ann to run `make deploy` for you?"[:-1] + " today, please, and wait",
    "Schedule `make backup` for midnight",
    "Make sure nobody runs `make reset`",
    "The nightly job runs `make lint`",
    "Teach the bot to run `make format`",
    'Add a note "run `make setup` first"',
    "Jenkins executes `make all`",
    "Get the permission to execute `make live`",
    # running things
    "Restart the running `redis` instance",
    "Kill all running `sidekiq` workers",
    "Drain the currently running `api-7` node",
    "List running `cron` jobs",
    # what the code is not a command
    "Run the `lint` job",
    "Run the tests in `tests/unit`",
    "Run against `staging`",
    "Run `SELECT 1`",
    "`README.md`",
    "`setup`",
    "`--force`",
    "`feature: add it`",
    "Run it with `--verbose`",
    # more to do than the command
    "Run `git diff` and read what it says",
    "Run `make`, then tell Bob",
    "Run `make report`. Send the file to the auditors.",
    "Read the log, then run `make retry`",
    "Run `make deploy` in `prod-cluster`",
    "Run `make deploy` on the server",
    "Run `make deploy` for each region",
]


@pytest.mark.parametrize("item", WORK)
def test_an_item_is_work(item: str) -> None:
    (line, _) = plan(f"1. {item}\n2. Rest\n")
    assert line == f"{'ask' if item.startswith('Ask') else 'work'} {item}"


RUN = [
    ("`make all`", "make all"),
    ("**`make`**", "make"),
    ("$ make all", "make all"),
    ("Run `make`", "make"),
    ("run `make` again.", "make"),
    ("Please execute `make` now", "make"),
    ("Rerun the command `make all`", "make all"),
    ("Run the following: `make all`", "make all"),
    ("Run the tests with `pytest -q`", "pytest -q"),
    ("Run `make docs` to build the manual", "make docs"),
    ("Run `make docs`. This takes a minute.", "make docs"),
    ("Run `make lint`. Never run `make fix`.", "make lint"),
    ("Run `make lint`, not `make fix`", "make lint"),
    ("Run `make a`, `make b` and then `make c`", "make a\nmake b\nmake c"),
    ("Run `npm ci` in the directory `web/ui`", "npm ci in web/ui"),
    ("Run `npm ci` in `web/`", "npm ci in web/"),
    ("In the `docs` folder, run `make html`", "make html in docs"),
]


@pytest.mark.parametrize(("item", "command"), RUN)
def test_an_item_is_a_command(item: str, command: str) -> None:
    assert plan(f"1. {item}\n2. Rest\n")[0] == f"run {command}"


# --- blocks --------------------------------------------------------------------------------------

LEADS = [
    ("Build the image:", True),
    ("Finally, push the tag.", True),
    ("Run the following commands:", True),
    ("Then clean up:", True),
    ("In a new terminal:", True),
    ("**Careful**: this is slow.\n\nBuild it:", True),
    ("For instance:", False),
    ("You could, for example, set the name:", False),
    ("Or with Docker:", False),
    ("Alternatively:", False),
    ("If you have no make:", False),
    ("On Windows:", False),
    ("macOS:", False),
    ("Do not do this:", False),
    ("Avoid this pattern:", False),
    ("It used to be:", False),
    ("The script does this:", False),
    ("You can undo it with:", False),
    ("To roll back:", False),
    ("On the server:", False),
    ("Add this to your profile:", False),
    ("Put the following into `run.sh`:", False),
    ("Create a file `x.sh` with these lines:", False),
    ("Document the new command:", False),
    ("Edit the config, then reload it:", False),
    ("Bump the version and commit it:", False),
    ("Wait until the build is green. Then deploy:", False),
    ("Only for major versions:", False),
    ("Optional:", False),
    ("Output:", False),
    ("Usage:", False),
]


@pytest.mark.parametrize(("lead", "runs"), LEADS)
def test_a_block_is_the_step_or_not(lead: str, runs: bool) -> None:
    text = f"# T\n\n1. Begin\n\n## S\n\n{lead}\n\n```sh\nmake ship\n```\n"
    last = plan(text)[-1]
    assert last == "run make ship" if runs else last.startswith("work ")
    assert runs or "make ship" in last


def test_the_code_of_an_example_is_in_the_description_of_its_item() -> None:
    assert plan(
        """
        1. Choose a name for the branch, e.g.:

               git switch -c fix-7

        2. Add the key

           Something like this:

           ```bash
           ssh-add ~/.ssh/id
           ```
        """
    ) == [
        "work Choose a name for the branch, e.g.:\ngit switch -c fix-7",
        "work Add the key\nSomething like this:\nssh-add ~/.ssh/id",
    ]


def test_comments_in_a_block_set_conditions() -> None:
    assert plan("Install:\n\n```sh\n# on macOS:\nbrew install jq\n# or\napt install jq\n```\n") == [
        "work Install:\n# on macOS:\nbrew install jq\n# or\napt install jq"
    ]
    assert plan("Install:\n\n```sh\n# the tools\napt install jq\n```\n") == [
        "run # the tools\napt install jq"
    ]


def test_two_blocks_without_a_word_between_them_are_no_command() -> None:
    text = "Install it:\n\n```sh\nnpm i frob\n```\n\n```sh\nyarn add frob\n```\n"
    assert plan(text) == ["work Install it:\nnpm i frob\nyarn add frob"]


def test_blocks_of_one_item_run_in_one_shell() -> None:
    text = """
    1. Build it:

       ```sh
       cd src
       ```

       Compile everything:

       ```sh
       make
       ```
    """
    assert plan(text) == ["run cd src\nmake"]


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("bash", "a=(1 2)", "run (bash) a=(1 2)"),
        ("zsh", "print -l a", "run (zsh) print -l a"),
        ("fish", "set x 1", "run (fish) set x 1"),
        ("sh", "x=1", "run x=1"),
        ("shell", "$ make\nok", "run make"),
        ("console", "root@db:/# uptime\n 10:00 up", "run uptime"),
        ("shell-session", "(venv) bob@pc:~/x$ make\n% ls", "run make\nls"),
        ("console", "make: nothing to be done", "work Look at it:\nmake: nothing to be done"),
        ("", "git push", "run git push"),
        ("", "frobnicate --all", "work Look at it:\nfrobnicate --all"),
        ("text", "deployTo prod", "work Look at it:\ndeployTo prod"),
        ("python", "print(1)", "work Look at it:\nprint(1)"),
        ("powershell", "Get-Item x", "work Look at it:\nGet-Item x"),
    ],
)
def test_the_language_says_what_runs_a_block(language: str, code: str, expected: str) -> None:
    assert plan(f"Look at it:\n\n```{language}\n{code}\n```\n\nThen rest.\n")[0] == expected


# --- conditions of parents, leads and headings ---------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1. When the queue is full:\n   - `make drain`\n   - Call Bob",
        "1. Only on Fridays:\n   1. `make drain`\n   2. Call Bob",
        "- [ ] Optional: tidy up\n  - [ ] `make drain`\n  - [ ] Call Bob",
        "In case the disk is full:\n\n1. `make drain`\n2. Call Bob",
        "Unless all is well, do this:\n\n- `make drain`\n- Call Bob",
        "# A\n\n1. x\n\n## If the deploy failed\n\n1. `make drain`\n2. Call Bob",
        "# A\n\n1. x\n\n## Windows\n\n1. `make drain`\n2. Call Bob",
        "# A\n\n1. x\n\n## Option 2: by hand\n\n- `make drain`\n- Call Bob",
        "To undo it:\n\n1. `make drain`\n2. Call Bob",
        "Useful commands:\n\n- `make drain`\n- `ls -l`",
    ],
)
def test_what_is_under_a_condition_keeps_it(text: str) -> None:
    lines = [line for line in plan(text) if line != "work x"]
    assert len(lines) >= 2
    assert all(line.startswith("work ") and ": " in line for line in lines)
    assert "make drain" in lines[-2]


# --- parents -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "- [ ] Write the text\n  - [ ] Let Ann read it\n  - [ ] Print it",
            ["work Write the text", "work Let Ann read it", "work Print it"],
        ),
        (
            "- [x] Write it\n  - [ ] Print it",
            ["done Write it", "work Print it"],
        ),
        (
            "1. Update the docs\n   - Note: the old page stays\n2. Rest",
            ["work Update the docs\n- Note: the old page stays", "work Rest"],
        ),
        (
            "1. Merge\n   - It needs two approvals.\n   - The branch must be green.",
            ["work Merge\n- It needs two approvals.\n- The branch must be green."],
        ),
        ("- Pack\n  - the tent\n  - the stove", ["work Pack: the tent", "work Pack: the stove"]),
        (
            "- [ ] Post the news to\n  - [ ] [Forum](https://a.b)\n  - [ ] `#general`",
            ["work Post the news to: Forum", "work Post the news to: `#general`"],
        ),
        (
            "Tell them by:\n\n- Mail\n- Phone call",
            ["work Tell them by: Mail", "work Tell them by: Phone call"],
        ),
        (
            "1. Fill in the form\n\n   The form has these fields:\n\n   - Name\n   - Age\n2. Rest",
            ["work Fill in the form\nThe form has these fields:\n- Name\n- Age", "work Rest"],
        ),
    ],
)
def test_parents(text: str, expected: list[str]) -> None:
    assert plan(text) == expected


# --- what is not a task --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "beside",
    [
        "This happens for two reasons:\n\n- The cache was cold.\n- A worker was slow.",
        "There are three people:\n\n- Ann Lee\n- Bob\n- Cem",
        "The release dates are:\n\n- 1 May 2031\n- 1 June 2031",
        "The command will:\n\n1. Create a table\n2. Fill it",
        "It prints:\n\n```\nok\n```",
        "The tag is then built, and then it is published in parallel.",
        "| Who | When |\n| --- | --- |\n| Ann | May |",
        "> Somebody said this.",
        "<details>Hidden</details>",
        "The maintainers are listed here.\n\n- Ann Lee [@ann](https://a.b)\n- Bo [@bo](https://b.c)",
        "- `make`: builds it\n- `make test`: tests it",
        "- ~~Call Bob~~\n- ~~`make old`~~",
        "See [the manual](https://a.b).",
        "Deployments are usually done within an hour.",
    ],
)
def test_what_only_tells_is_a_note(beside: str) -> None:
    text = f"# T\n\n1. Begin\n\n## S\n\n{beside}\n\n## E\n\n1. End\n"
    draft = parse_text(text)
    assert short(draft) == ["work Begin", "work End"]
    noted = "\n".join(draft.notes)
    assert all(word in noted for word in beside.replace("~~", "").split()[-1:] if word.isalpha())


def test_paragraphs_between_commands_are_what_the_next_one_waits_for() -> None:
    text = (
        "# T\n\nBuild:\n\n```sh\nmake\n```\n\nReview the result and get an approval.\n\nShip:\n\n"
    )
    assert plan(text + "```sh\nmake ship\n```\n") == [
        "run make",
        "work Review the result and get an approval",
        "run make ship",
    ]


# --- numbers, letters, boxes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "A. Sow\nB. Water\nC. Reap",
        "(a) Sow\n(b) Water\n(c) Reap",
        "i. Sow\nii. Water\niii. Reap",
        "I) Sow\nII) Water\nIII) Reap",
        "a. Sow\n\nb. Water\n\nc. Reap",
        "(1) Sow\n(2) Water\n(3) Reap",
        "1.) Sow\n2.) Water\n3.) Reap",
        "**1.** Sow\n**2.** Water\n**3.** Reap",
        "① Sow\n② Water\n③ Reap",
        "Step 1: Sow\nStep 2: Water\nStep 3: Reap",
        "## A. Sow\n\n## B. Water\n\n## C. Reap",
        "**Step 1: Sow**\n\nx\n\n**Step 2: Water**\n\nx\n\n**Step 3: Reap**\n\nx",
        "sow\nwater\nreap",
        "Sow\nWater\nReap",
    ],
)
def test_numbers_and_letters(text: str) -> None:
    draft = parse_text(text)
    said = [task.description.split("\n")[0].lower() for task in draft.tasks]
    assert said == ["sow", "water", "reap"]
    assert [task.depends_on for task in draft.tasks] == [[], [1], [2]]


def test_bold_numbers_head_what_is_below_them() -> None:
    text = "**2) Test**\n\n`make test`\n\n**3) Tell the team**\n\nBy mail.\n"
    assert plan(text) == ["run make test", "work Tell the team\nBy mail."]


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("- [ ] `make a`\n- [ ] Rest\n- [ ] `make b`", [[], [1], [2]]),
        ("- Rest\n- `make b`", [[], [1]]),
        ("- `make a` {effect=safe}\n- `make b` {effect=safe}", [[], []]),
        ("- [ ] One\n- [ ] Two", [[], []]),
        ("- [ ] One\n<!-- x -->\n- [ ] Two\n\n<!--\ny\n-->\n\n- [ ] Three", [[], [], []]),
        ("- One\n  - `make a`\n- Two", [[], [1]]),
    ],
)
def test_lists_with_effects_run_in_order(text: str, waits: list[list[int]]) -> None:
    assert [task.depends_on for task in parse_text(text).tasks] == waits


# --- questions and connectors --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("Confirm the booking with the hotel", "work Confirm the booking with the hotel"),
        ("Choose a seat by the window", "work Choose a seat by the window"),
        ("Decide on a colour", "work Decide on a colour"),
        ("Is it green?", "ask Is it green?"),
        ("Ask Bob for the key", "ask Ask Bob for the key"),
        ("May we ship? [y/n]", "ask May we ship? / y / n"),
        ("Which one? (red, green or blue)", "ask Which one? / red / green / blue"),
        ("Choose one:\n   - red\n   - green", "ask Choose one / red / green"),
        ("First principles review", "work First principles review"),
        ("Next year's budget", "work Next year's budget"),
        ("First, sweep", "work Sweep"),
        ("Then sweep", "work Sweep"),
    ],
)
def test_questions_and_connectors(item: str, expected: str) -> None:
    assert plan(f"1. {item}\n2. Rest\n")[0] == expected


# --- titles --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("- [ ]   Call Ann\n- [ ] Rest", "Call Ann"),
        ("☑ Call Ann\n☐ Rest", "Call Ann"),
        ("---\ntitle: 'Move house'\n---\n\n- Pack", "Move house"),
        ("---\ntitle: Move house\n---\n\n## Pack\n\n- books", "Move house"),
        ("---\ntitle: Other\n---\n\n# Move house\n\n- books", "Move house"),
        ("---\nname: x\n---\n\n- Pack", "Pack"),
    ],
)
def test_titles(text: str, title: str) -> None:
    assert parse_text(text).title == title


# --- placeholders --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("git tag v1.X.0", "git tag 'v$2'"),
        ("git tag release-YYYY-MM-DD", "git tag 'release-$2'"),
        ("ping <user>@<host>", "ping '$2@$3'"),
        ("curl -H YOUR_TOKEN x", "curl -H '$2' x"),
        ("cp path/to/file x", "cp '$2' x"),
        ("make release VERSION={version}", "make release 'VERSION=$2'"),
        ("frob {dev|prod}", "frob '$2'"),
        ("frob [name] --yes", "frob '$2' --yes"),
        ("git tag vX.Y.Z-rc1", 'git tag v"${ANSWER_2}"-rc1 with ANSWER_2=$2'),
        ("echo 'to <host>' | wc", "echo 'to '\"${ANSWER_2}\"'' | wc with ANSWER_2=$2"),
        ('echo "to <host>" | wc', 'echo "to ${ANSWER_2}" | wc with ANSWER_2=$2'),
        ("echo $VERSION | wc", "echo $VERSION | wc with VERSION=$2"),
        ("sort <in >out", "sort <in >out"),
        ("echo $HOME | wc", "echo $HOME | wc"),
        ("for f in *; do echo $f; done", "for f in *; do echo $f; done"),
    ],
)
def test_an_answer_takes_the_place_of_a_placeholder(command: str, expected: str) -> None:
    assert plan(f"1. Run `{command}`\n")[0] == f"run {expected}"


def test_one_question_for_each_name() -> None:
    text = "1. `git tag vX.Y.Z`\n2. `git push origin vX.Y.Z`\n3. Tell all about `X.Y.Z`\n"
    first, second, third, question = parse_text(text).tasks
    assert question.description == "Which value replaces `X.Y.Z`?"
    assert first.arguments == {"argv": ["git", "tag", "v$4"]}
    assert second.arguments == {"argv": ["git", "push", "origin", "v$4"]}
    assert third.depends_on == [2, 4]


@pytest.mark.parametrize("command", ["frob ... --yes", "echo `x <a>`", "cat <<E\n<a>\nE"])
def test_what_cannot_be_filled_in_safely_is_work(command: str) -> None:
    (task, *_) = parse_text(f"Do it:\n\n```sh\n{command}\n```\n").tasks
    assert task.tool is None
    assert command.split()[0] in task.description


def test_a_version_that_the_text_gives_as_an_example_is_asked_for() -> None:
    text = "# T\n\nUse tags such as `v1.0.23`.\n\n1. `git tag v1.0.23`\n2. `pip install x==1.2.3`\n"
    assert plan(text) == [
        "run git tag 'v$3'",
        "run pip install x==1.2.3",
        "ask Which value replaces `1.0.23`?",
    ]


@pytest.mark.parametrize("there", ["oc rsh web-1", "ssh web1", "cd live", "docker exec -it db sh"])
def test_where_work_leads_elsewhere_what_follows_is_work(there: str) -> None:
    """A person goes there; a command of the plan would still run here."""
    text = f"""
    # T

    Before we go on, log in there:

    ```sh
    {there}
    ```

    Look around:

    ```sh
    uptime
    ```
    """
    assert plan(text)[-1] == "work Look around:\nuptime"
    assert plan(text.replace(there, "true"))[-1] == "run uptime"


# --- what needs a person, another case, or only a shell ------------------------------------------


@pytest.mark.parametrize(
    ("block", "runs"),
    [
        ("sudo -u deploy psql", False),
        ("psql -c 'select 1'", True),
        ("su - deploy", False),
        ("sudo -i", False),
        ("gh auth login", False),
        ("vim settings.toml", False),
        ("$EDITOR settings.toml", False),
        ("git commit -a", False),
        ("git commit -am 'next'", True),
        ("kubectl debug node/n1", False),
        ("kubectl edit deploy web", False),
        ("ssh web1", False),
        ("ssh web1 uptime", True),
        ("python manage.py createsuperuser", False),
        ("export A=1\nexport B=2", False),
        ("cd web", False),
        ("source .venv/bin/activate", False),
        ("export A=1\nmake", True),
        ("exit", False),
    ],
)
def test_a_block_runs_without_a_person_and_outlasts_its_shell(block: str, runs: bool) -> None:
    (line, *_) = plan(f"# T\n\nGo ahead:\n\n```sh\n{block}\n```\n")
    assert line == (f"run {block}" if runs else f"work Go ahead:\n{block}")


@pytest.mark.parametrize(
    "said",
    [
        "You will be prompted for the number.",
        "The tool asks for your password.",
        "(or `nox -s bump`) You'll be prompted to enter the number.",
        "This starts an interactive wizard.",
    ],
)
def test_a_command_that_asks_a_person_is_work(said: str) -> None:
    text = f"# T\n\nBump it using:\n\n```sh\nmake bump\n```\n\n{said}\n\nThen push:\n\n"
    first, second = plan(text + "```sh\ngit push\n```\n")
    assert first == f"work Bump it using:\nmake bump\n{said}"
    assert second == "run git push"
    assert plan(f"1. Run `make bump`. {said}\n2. Rest\n")[0].startswith("work ")


def test_a_block_that_only_shows_is_not_the_change_that_is_asked_for() -> None:
    text = "# T\n\nBe sure to bump `src/version.go`.\n\n```sh\n$ git diff src\n- 1\n+ 2\n```\n"
    assert plan(text) == ["work Be sure to bump `src/version.go`\n$ git diff src\n- 1\n+ 2"]
    assert plan("Look at the change:\n\n```sh\ngit diff\n```\n") == ["run git diff"]
    assert plan("Update the lock:\n\n```sh\nuv lock\n```\n") == ["run uv lock"]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("# T\n\n- Tag in this style: `frob-3_11_0`\n- `./dist 3.11.0`", ["3.11.0"]),
        ("# T\n\nThe tags look like `v8.1.2`.\n\n1. `git push x v8.1.2`", ["8.1.2"]),
        ("# How to make a release\n\n1. `git tag v5.0.1`\n2. `git push x v5.0.1`", ["5.0.1"]),
        ("# Release checklist\n\n1. `make VERSION=5.0.1`\n2. `pip install b==1.0.0`", ["5.0.1"]),
        ("# Release checklist of 5.0.1\n\n1. `git tag v5.0.1`", []),
        ("# Tidy up\n\n1. `git tag v5.0.1`", []),
        ("# Releasing frob\n\n1. `ping 10.0.0.1`", []),
        ("# T\n\n1. `frob restore BACKUP_ID`", ["BACKUP_ID"]),
        ("# T\n\n1. `docker pull frob:v0.x.0`", ["0.x.0"]),
        ("# T\n\n1. `make BUILD_ID=7`\n2. `echo $BUILD_ID | wc`", []),
    ],
)
def test_versions_of_a_procedure_are_asked_for_once(text: str, asked: list[str]) -> None:
    questions = [line for line in plan(text) if line.startswith("ask")]
    assert questions == [f"ask Which value replaces `{name}`?" for name in asked]


def test_what_has_to_be_worked_out_is_work() -> None:
    assert plan("1. Run `git tag vX.Y.Z+1`\n") == ["work Run `git tag vX.Y.Z+1`"]


@pytest.mark.parametrize(
    "text",
    [
        "There are two independent workflows:\n\n- [Nightly build](#nightly-build)\n"
        "- [Stable build](#stable-build)\n\n## Nightly build\n\n1. `make a`\n\n"
        "## Stable build\n\n1. `make b`\n",
        "## Cutting a minor release\n\n1. `make a`\n\n## Cutting a patch release\n\n1. `make b`\n",
        "## Windows workflow\n\n1. `make a`\n\n## Tablet workflow\n\n1. `make b`\n",
        "## Upgrading to v2\n\n1. `make a`\n\n## Upgrading to v3\n\n1. `make b`\n",
        "## From 1.x to 2.0\n\n1. `make a`\n\n## From 2.x to 3.0\n\n1. `make b`\n",
    ],
)
def test_sections_for_different_cases_are_work(text: str) -> None:
    draft = parse_text(f"# T\n\n{text}")
    first, second = short(draft)
    assert first.startswith("work ")
    assert "make a" in first
    assert second.startswith("work ")


def test_a_heading_alone_orders_nothing() -> None:
    block = "```sh\nmake drain\n```\n"
    assert plan(f"# Worker\n\n## Drain the queue\n\n{block}") == [
        "work Drain the queue\nmake drain"
    ]
    assert plan(f"# Worker\n\n## 1. Drain the queue\n\n{block}") == ["run make drain"]
    assert plan(f"# Drain the queue\n\n{block}") == ["run make drain"]
    assert plan(f"# Worker\n\n## Queue\n\nDrain it:\n\n{block}") == ["run make drain"]


def test_check_marks_of_a_gate_are_not_done() -> None:
    text = (
        "# T\n\nOnly proceed if you have confirmed:\n\n- ✅ The backup is there\n- ✅ Ann agrees\n"
    )
    assert all(not task.done for task in parse_text(text).tasks)
    assert len(parse_text(text).tasks) == 2


# --- statements among the paragraphs and bullets -------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "If the build fails, the bot writes a mail.",
        "When the queue is full, some mails of your users will wait.",
        "Since v2.3, `frob` will look for updates.",
        "Once the tag is there, the `ship` workflow will be started.",
        "The old setting is gone, the new one replaces it.",
        "We keep three branches.",
        "After a minute, the server logs the following line:",
        "Consequences:",
        "{{< hint >}} That was all. {{< /hint >}}",
        "Older agents need to know the new protocol during the start.",
        "- The keyword `ns` is reserved\n- New flags allow more\n- Old ones have been removed",
        "- CI will publish the image:\n  https://a.example/img",
        "- Each page has an owner\n- Owners are listed here",
    ],
)
def test_prose_that_orders_nothing_is_a_note(said: str) -> None:
    draft = parse_text(f"# T\n\n1. Begin\n\n## S\n\n{said}\n\n## E\n\n1. End\n")
    assert short(draft) == ["work Begin", "work End"]


@pytest.mark.parametrize(
    "said",
    [
        "If the build fails, write a mail.",
        "If the pod hangs, find out why it's slow. For example, the disk could be full.",
        "Before a release, ensure that all is green.",
        "You will need to rename it.",
        "A few days before, consider an update.",
        "Edit the file and either empty it, or mend the line.",
        "Once it is stable, you can promote it.",
        "If nothing is new, increment `patch` from what it is now.",
        "Please remember to replace the name.",
        "Restart it afterwards, the service reads the file.",
    ],
)
def test_prose_that_orders_something_is_work(said: str) -> None:
    draft = parse_text(f"# T\n\n1. Begin\n\n## S\n\n{said}\n\n## E\n\n1. End\n")
    assert short(draft) == ["work Begin", f"work {said.removesuffix('.')}", "work End"]


def test_a_statement_among_the_bullets_of_a_procedure_stays_a_task() -> None:
    assert (
        len(parse_text("- Mix the dough\n- Ovens differ a lot, so it is done when brown\n").tasks)
        == 2
    )
    assert len(parse_text("1. Mix it\n2. The dough is kept cold\n3. Bake it\n").tasks) == 3


def test_a_heading_that_is_a_sentence_or_an_order_is_a_task() -> None:
    text = "# T\n\n1. Begin\n\n## Is CI green? If not, make it green.\n\nIt is slow.\n\n"
    assert plan(
        text + "## Notify the mirrors\n\nThey are listed there.\n\n## Mirrors\n\nTwo.\n"
    ) == [
        "work Begin",
        "work Is CI green? If not, make it green.\nIt is slow.",
        "work Notify the mirrors\nThey are listed there.",
    ]


@pytest.mark.parametrize("name", ["Version policy", "Guarantees", "Impact", "Notes on numbers"])
def test_sections_about_rules_are_notes(name: str) -> None:
    text = f"# T\n\n1. Begin\n\n## {name}\n\n- Numbers grow\n- No break within a year\n"
    assert plan(text) == ["work Begin"]


# --- order, warnings, details --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("# Release\n\n- Create a branch\n- Get it reviewed\n- Merge it", [[], [1], [2]]),
        ("# Upgrade\n\n- [ ] Tell all\n- [ ] Restart the server", [[], [1]]),
        ("# Release\n\n- Write to the list\n- Post in the forum", [[], []]),
        ("# Party\n\n- Cut the cake\n- Press the juice", [[], []]),
        ("# Release\n\nIn parallel:\n\n- Merge this\n- Merge that", [[], []]),
    ],
)
def test_bullets_of_a_procedure_run_in_order(text: str, waits: list[list[int]]) -> None:
    assert [task.depends_on for task in parse_text(text).tasks] == waits


@pytest.mark.parametrize(
    "mark", ["> WARNING: it cannot be undone", "PLEASE BE CAREFUL: it is final"]
)
def test_a_warning_belongs_to_the_step_beside_it(mark: str) -> None:
    said = mark.removeprefix("> ")
    step = "Drop the table:\n\n```sql\nDROP TABLE a\n```\n"
    expected = ["work Begin", f"work Drop the table:\nDROP TABLE a\n{said}"]
    assert plan(f"# T\n\n1. Begin\n\n## S\n\n{mark}\n\n{step}") == expected
    assert plan(f"# T\n\n1. Begin\n\n## S\n\n{step}\n{mark}\n") == expected


def test_a_warning_with_a_condition_keeps_a_command_from_running() -> None:
    text = "# T\n\nWarning: never do this if users are online.\n\nPurge it:\n\n"
    assert plan(text + "```sh\nmake purge\n```\n")[0].startswith("work Purge it")
    text = "# T\n\nCaution: this is slow.\n\nBuild it:\n\n```sh\nmake\n```\n"
    assert plan(text) == ["run make"]


def test_a_section_named_like_an_item_is_its_detail() -> None:
    text = "# T\n\n- [ ] Fill the shelf\n- [ ] Lock up\n\n## Fill the shelf\n\n1. Fetch\n2. Place\n"
    draft = parse_text(text)
    assert short(draft) == ["work Fill the shelf", "work Fetch", "work Place", "work Lock up"]
    assert [task.depends_on for task in draft.tasks] == [[], [1], [2], []]


def test_sections_for_different_cases_do_not_wait_for_each_other() -> None:
    text = "# T\n\n1. x\n\n## Minor release\n\n1. a\n\n## Patch release\n\n1. b\n\n## End\n\n1. c\n"
    assert [task.depends_on for task in parse_text(text).tasks] == [[], [1], [1], [2, 3]]


# --- links and headings as context ---------------------------------------------------------------


def test_links_are_kept_in_notes_and_with_their_tasks() -> None:
    draft = parse_text(
        "# T\n\nIt is [here](https://a.example/x).\n\n"
        "1. Begin\n   - Example: [old](https://a.example/y)\n"
        "2. Mark [**the calendar**](https://a.example/z)\n"
    )
    assert draft.notes == ["It is here (https://a.example/x)."]
    first, second = draft.tasks
    assert first.attachments == [Link("https://a.example/y", "old")]
    assert second.attachments == [Link("https://a.example/z", "the calendar")]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Turning the lamp off", "work Turning the lamp off: Press it"),
        ("In the other repo", "work In the other repo: Press it"),
        ("For pre-releases", "work For pre-releases: Press it"),
        ("Security releases", "work Press it"),
        ("Making a new release", "work Press it"),
        ("For maintainers", "work Press it"),
        ("Setup", "work Press it"),
    ],
)
def test_a_heading_that_names_a_case_or_a_thing_stays_with_its_tasks(
    heading: str, expected: str
) -> None:
    assert plan(f"# T\n\n1. Begin\n\n## {heading}\n\n1. Press it\n")[1] == expected


def test_the_links_of_a_label_are_those_of_its_items() -> None:
    link = Link("https://a.example/z", "here")
    draft = parse_text("- Mark it [here](https://a.example/z):\n  - the day\n  - the hour\n")
    assert [task.attachments for task in draft.tasks] == [[link], [link]]
    draft = parse_text("Mark it [here](https://a.example/z):\n\n- the day\n- the hour\n")
    assert [task.attachments for task in draft.tasks] == [[link], [link]]


def test_a_paragraph_that_only_leads_on_is_a_note() -> None:
    text = "# T\n\n1. Begin\n\nThen continue to [End](#end).\n\n## End\n\n1. Stop\n"
    assert plan(text) == ["work Begin", "work Stop"]


@pytest.mark.parametrize("above", ["", "# Another\n\n1. Rest\n\n#"])
def test_a_section_is_not_the_detail_of_an_item_of_its_own(above: str) -> None:
    draft = parse_text(f"{above}# Call Ann\n\n1. Run `true` {{#a}}\n2. Call Ann\n3. Run `false`\n")
    said = [task.description for task in draft.tasks]
    assert said[-3:] == ["Run `true`", "Call Ann", "Run `false`"]
    assert draft.tasks[-3].label == "a"

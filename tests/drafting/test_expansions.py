"""Where a script reads the value of a variable as code."""

from __future__ import annotations

import pytest

from planfold.drafting.expansions import ARITHMETIC, COMMAND, code_of_values


@pytest.mark.parametrize(
    "script",
    [
        "echo $((V + 1))",
        "echo $(( $V + 1 ))",
        'echo "now: $(( ${V} ))"',
        "((V > 3)) && make",
        "for ((i = 0; i < $V; i++)); do make; done",
        "if [[ $V -eq 3 ]]; then make; fi",
        'if [[ -n x && "${V}" -lt 3 ]]; then make; fi',
        "[[ -v $V ]]",
        "let x=$V",
        "declare -i x=$V",
        "echo ${path:$V}",
        "echo ${list[$V]}",
        "list[$V]=1",
        "x=$V; echo $((x))",
        "bash -c 'echo $((V))'",
        "cat <<END\n$((V))\nEND",
    ],
)
def test_arithmetic_runs_what_is_in_a_value(script: str) -> None:
    assert code_of_values(script, {"V"}) in (ARITHMETIC, COMMAND)


@pytest.mark.parametrize(
    "script",
    [
        'eval "echo $V" | cat',
        'eval "\\$V"',
        'sh -c "echo $V" | cat',
        "sh -c 'eval $V'",
        'bash -o pipefail -c -- "$V"',
        'ssh web "rm $V" | cat',
        'if true; then ssh web "rm $V"; fi',
        "$V --help | cat",
        "x=1 sudo -n ${V} | cat",
        "find . -exec $V ;",
        'echo "$(sh -c "$V")"',
        "echo `eval $V`",
        "echo $V | sh",
        "echo $V 2>&1 | sudo bash -s",
        "echo $V |& ssh web",
        "echo $V | docker exec -i web sh",
        'bash <<< "$V"',
        "ssh web <<END\nrm $V\nEND",
        "x=$V; eval $x",
        "export x=$V\neval $x",
        "for x in $V; do eval $x; done",
        "echo $V | while read x; do eval $x; done",
        'trap "rm $V" EXIT',
        'printf -v "$V" x',
        'test -v "$V"',
        "python3 -c \"print('$V')\" | cat",
        "node --eval=$V | cat",
        "source $V",
    ],
)
def test_a_value_may_be_read_as_a_command(script: str) -> None:
    assert code_of_values(script, {"V"}) == COMMAND


@pytest.mark.parametrize(
    "script",
    [
        'echo "$V" | tee log',
        "rm -f build/$V | cat",
        "git tag $V && git push origin $V",
        'sh -c \'echo "$1"\' sh "$V" | cat',
        "sh -c 'echo \"$V\"' | cat",
        "sh run.sh $V; echo $((1 + 2))",
        "if [[ -n x && $V == (a|b) && -f $V ]]; then echo ${#V} ${V:-none}; fi",
        'list=($V b); x="$V"; echo "${list[@]}" $x',
        "cat > out <<END\nit's $V\nEND\nmake",
        "cat <<'END' | cat\necho $V\nEND",
        "echo $V > $V 2>&1; make &> log",
        "echo $V | grep sh | xargs rm",
        "echo '$((V)) eval $V' # eval $V",
        "case $V in a) make;; esac",
        "echo $W$((W)); eval $W",
        'for f in $V; do cp "$f" out; done',
        'echo "unfinished $V',
        "echo $(( 1",
        "",
    ],
)
def test_a_value_that_is_only_a_word_is_none(script: str) -> None:
    assert code_of_values(script, {"V"}) is None


def test_deep_substitutions_are_refused_in_bounded_time() -> None:
    assert code_of_values("echo " + "$(" * 500 + "$V" + ")" * 500, {"V"}) == COMMAND

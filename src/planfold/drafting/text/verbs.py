"""The usual verbs of instructions, in their base form."""

from __future__ import annotations

from typing import Final

_NAMES: Final = """
    accept access acknowledge acquire activate add address adjust advise agree allow analyze
    announce answer apply approve archive arrange ask assemble assert assess assign assume attach
    attempt attend authenticate automate avoid back backport bake balance be become begin block
    boil boot bootstrap bring browse build bump burn buy cache calculate call cancel capture care
    carry celebrate change charge check cherry-pick choose clarify clean clear click clone close
    collect combine come comment commit communicate compare compile complete compose compress
    compute conduct confer configure confirm connect consider consult contact continue contribute
    convert cook coordinate copy correct count cover create cut deactivate debug decide declare
    decompress define delegate delete deploy describe design detach detect determine develop
    diagnose dial disable discard disconnect discuss dismiss display distribute divide do document
    double-check download draft drag drain draw drop dump duplicate edit email embed empty enable
    encourage end enroll ensure enter erase escalate establish evaluate examine exclude execute
    expand expect explain explore export extend extract fail fetch file fill filter finalize find
    finish fix flash flush focus fold follow force fork format forward freeze gather generate get
    give go grab grant group guide handle hang have help hide hire hit hold identify ignore
    implement import improve include increase increment inform initialize insert inspect install
    integrate introduce investigate invite invoke isolate issue join keep kill know label launch
    lay learn leave let lift limit link list listen load locate lock log look lower mail maintain
    make manage mark match measure meet mention merge migrate mirror mix modify monitor mount move
    name navigate note notify obtain offer open optimize order organize override pack page park
    pass paste patch pause pay perform persist pick pin ping place plan plug point poll populate
    post pour practice prefer prepare press prevent print proceed produce profile promote prompt
    propose protect prove provide provision prune publish pull purge push put query quit raise read
    rearrange rebase reboot rebuild receive recommend reconfigure record recover redeploy reduce
    refer refresh register regenerate reinstall reject release reload remember remind remove rename
    renew repair repeat replace reply report reproduce request require rerun research
    reset resize resolve respond restart restore restrict resume retrieve retry return reuse revert
    review revoke rewrite rinse rotate run save scale scan schedule search secure see select send
    separate serve set setup share ship show shut sign simplify sit skip slice smoke solve sort
    specify split spread squash stage stand start state stay stick stir stop store submit subscribe
    summarize supply support suppress suspend sweep switch sync synchronize tag take talk tell
    terminate test thank think throw tidy tie touch track transfer translate treat trigger trim
    troubleshoot try tune turn tweet type uncomment undo undraft uninstall unlock unpack unset
    unzip update upgrade upload use validate verify view visit wait walk warn wash watch wipe work
    wrap write yank zip
"""
VERBS: Final = frozenset(_NAMES.split())

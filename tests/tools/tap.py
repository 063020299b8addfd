"""Run every function named test_* of a script and report each as a line of TAP."""

import os
import pty
import sys
import traceback


class Skip(Exception):
    """Raised by a case that this machine cannot run, with the reason."""


def need_terminals():
    """A case that needs a terminal of its own is left out, and counted so, where there are none to be had: in a
    container without devpts."""
    try:
        ends = pty.openpty()
    except OSError as error:
        raise Skip(f"no terminals here: {error}") from error
    for end in ends:
        os.close(end)


def run(module):
    cases = [(name, value) for name, value in vars(module).items() if name.startswith("test_")]
    print(f"1..{len(cases)}")
    failed = 0
    for number, (name, case) in enumerate(cases, 1):
        try:
            case()
            print(f"ok {number} - {name}")
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}")
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}")
            traceback.print_exc()
    sys.exit(1 if failed else 0)

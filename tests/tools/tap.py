"""Run every function named test_* of a script and report each as a line of TAP."""

import sys
import traceback


def run(module):
    cases = [(name, value) for name, value in vars(module).items() if name.startswith("test_")]
    print(f"1..{len(cases)}")
    failed = 0
    for number, (name, case) in enumerate(cases, 1):
        try:
            case()
            print(f"ok {number} - {name}")
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}")
            traceback.print_exc()
    sys.exit(1 if failed else 0)

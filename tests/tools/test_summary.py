"""The line that sums the tests up counts every case once and lets no failure slip through."""

import json
import pathlib
import subprocess
import sys
import tempfile

import tap

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "test-summary"


def summary(*records, options=()):
    """(status, line) for one build folder whose tests left these records."""
    with tempfile.TemporaryDirectory() as folder:
        logs = pathlib.Path(folder, "meson-logs")
        logs.mkdir()
        (logs / "testlog.json").write_text("".join(json.dumps(r) + "\n" for r in records))
        done = subprocess.run([sys.executable, TOOL, *options, folder], capture_output=True,
                              text=True)
        return done.returncode, done.stdout


def record(result, stdout="", returncode=0):
    return {"name": "a", "result": result, "stdout": stdout, "returncode": returncode}


def expect(got, status, passed, failed, skipped):
    assert got == (status, f"{passed} passed, {failed} failed, {skipped} skipped\n"), got


def test_plain_tests_count_once():
    expect(summary(record("OK"), record("OK"), record("SKIP", returncode=77)), 0, 2, 0, 1)
    expect(summary(record("OK"), record("FAIL", returncode=1)), 1, 1, 1, 0)
    expect(summary(record("TIMEOUT", returncode=-9)), 1, 0, 1, 0)


def test_cases_count_each():
    expect(summary(record("OK", "1..3\nok 1 - a\nok 2 # SKIP b\nok 3 - c\n")), 0, 2, 0, 1)
    expect(summary(record("FAIL", "1..2\nok 1 - a\nnot ok 2 - b\n", 1)), 1, 1, 1, 0)


def test_a_skipped_case_that_says_not_ok_is_skipped():
    expect(summary(record("OK", "1..2\nok 1 - a\nnot ok 2 # SKIP b\n")), 0, 1, 0, 1)
    expect(summary(record("FAIL", "1..2\nok 1 - a\nnot ok 2 # SKIP b\n", 0)), 0, 1, 0, 1)


def test_a_crash_fails_what_was_announced():
    expect(summary(record("FAIL", "1..4\nok 1 - a\n", -11)), 1, 1, 3, 0)
    expect(summary(record("FAIL", "", -11)), 1, 0, 1, 0)


def test_a_leak_after_good_cases_fails():
    expect(summary(record("FAIL", "1..2\nok 1 - a\nok 2 - b\n", 23)), 1, 2, 1, 0)


def test_several_groups_in_one_output_are_added():
    groups = "1..1\nok 1 - a\n1..2\nok 1 - b\nok 2 - c\n"
    expect(summary(record("OK", groups)), 0, 3, 0, 0)
    expect(summary(record("ERROR", groups)), 0, 3, 0, 0)


def test_giving_up_fails():
    expect(summary(record("ERROR", "1..1\nok 1 - a\nBail out! no disk\n")), 1, 1, 1, 0)
    expect(summary(record("TIMEOUT", "1..1\nok 1 - a\n")), 1, 1, 1, 0)


def test_a_missing_log_fails():
    done = subprocess.run([sys.executable, TOOL, "/nowhere"], capture_output=True, text=True)
    expect((done.returncode, done.stdout), 1, 0, 1, 0)


def test_failures_from_elsewhere_are_added():
    expect(summary(record("OK"), options=["--failed", "2"]), 1, 1, 2, 0)


if __name__ == "__main__":
    tap.run(sys.modules[__name__])

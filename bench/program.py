"""A program that stays loaded and is asked in turns: it prints "ready", then a line for each line."""

import shlex
import subprocess


class Program:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        if self.line() != "ready":
            raise SystemExit(f"did not start: {shlex.join(command)}")

    def line(self):
        return self.process.stdout.readline().strip()

    def ask(self, *words):
        """Send a line of these words; its answer, as text."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.line()
        if not answer:
            raise SystemExit(f"ended early: {shlex.join(self.process.args)}")
        return answer

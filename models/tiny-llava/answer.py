"""Has the program answer the questions that score.py wrote: one JSON string a line, in their order.

Usage: answer.py QUESTIONS ANSWERS [--program build/paraphym] [--model FOLDER]
"""
import argparse
import json
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


def answer(program, model, folder, line):
    said = [program, "ask" if "picture" in line else "generate", "-m", str(model),
            "--temperature", "0", "--max-tokens", "64", "--log", "error"]
    said += ([str(folder / line["picture"]), line["question"]] if "picture" in line else
             ["--chat", line["question"]])
    return subprocess.run(said, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("questions", type=pathlib.Path)
    arguments.add_argument("answers", type=pathlib.Path)
    arguments.add_argument("--program", default="build/paraphym")
    arguments.add_argument("--model", type=pathlib.Path, default=HERE)
    given = arguments.parse_args()
    with given.answers.open("w") as out:
        for line in given.questions.read_text().splitlines():
            said = answer(given.program, given.model, given.questions.parent, json.loads(line))
            out.write(json.dumps(said, ensure_ascii=False) + "\n")

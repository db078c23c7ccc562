#!/usr/bin/env python3
"""Prints the figures of docs/results/spine.md from the JSON files that docs/results/run.sh wrote: python3 summarise.py [OUT]"""
import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/results")


def results(name, metric=None):
    """The rows of every seed, for one metric (the main one by default)."""
    found = []
    for seed in range(3):
        data = json.loads((out / name.format(seed)).read_text())
        tables = {data["metric"]: data["results"], **{other["metric"]: other["results"] for other in data["others"]}}
        found.append(tables[metric or data["metric"]])
    return found


def show(title, name, metric=None, field="mean"):
    seeds = results(name, metric)
    print(f"\n{title}\n")
    print("| method | steps | seed 0 | seed 1 | seed 2 | mean of seeds |\n|---|---|---|---|---|---|")
    for place, row in enumerate(seeds[0]):
        rows = [seed[place] for seed in seeds]
        if any(row.get(field) is None for row in rows):
            continue
        pair = lambda row: row[field] if isinstance(row[field], list) else [row[field], row["ci95"]]
        interval = field != "median"
        cells = [f"{pair(row)[0]:.4f}" + (f" ± {pair(row)[1]:.4f}" if interval else "") for row in rows]
        # Fine-tuning steps are chosen for each seed by itself.
        steps = row["steps"] if row["method"] == "adapted" else "chosen" if row["method"] in ("finetuned", "scratch") else "–"
        print(f"| {row['method']} | {steps} | {' | '.join(cells)} | {sum(pair(row)[0] for row in rows) / 3:.4f} |")


show("sinusoid, mean squared error", "sinusoid-{}.json")
show("sinusoid, median over tasks", "sinusoid-{}.json", field="median")
show("sinusoid without the guard, mean", "sinusoid-{}-unguarded.json")
show("terrain, RMSE of log energy", "terrain-{}.json")
show("terrain, RMSE, ratio to un-adapted", "terrain-{}.json", field="ratio")
show("terrain, RMSE, less fine-tuned (paired)", "terrain-{}.json", field="beside_finetuned")
show("terrain, regret", "terrain-{}.json", "regret")
show("terrain, regret, ratio to un-adapted", "terrain-{}.json", "regret", "ratio")
show("terrain, regret, less fine-tuned (paired)", "terrain-{}.json", "regret", "beside_finetuned")
show("bts3, balanced accuracy", "bts3-{}.json")
show("bts3, balanced accuracy, less fine-tuned (paired over objects)", "bts3-{}.json", field="beside_finetuned")
show("bts3, the null test: balanced accuracy", "bts3-{}.null.json")

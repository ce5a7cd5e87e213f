"""Tables of what was measured: the certificate (docs/certificate.json) and the benchmarks (benchmarks/results/*.json).

A page asks for one by a directive, and the build makes it from the file: nobody copies a number.

    ```{certificate} worst            the largest error of each function, by implementation
    ```{certificate} softmax          every row of one function
    ```{benchmarks}                   every file of results
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATE = ROOT / "docs" / "certificate.json"
RESULTS = ROOT / "benchmarks" / "results"
FUNCTIONS = ("softmax", "log_softmax", "logsumexp")


def table(head: list[str], rows: list[list[str]], words: int = 1) -> str:
    """Return a Markdown table whose first `words` columns are words and the others numbers."""
    rule = [":--" if i < words else "--:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *rows])


def ulp(error: float | str) -> str:
    """Return an error of the certificate in three digits; "wrong" and "refused" as they are."""
    if isinstance(error, str):
        return error
    return f"{error:.2f}" if error < 1000 else f"{error:.0e}"


def worst(errors: list[float | str]) -> float | str:
    """Return the largest error; a wrong answer is worse than any number, and a refusal worse than none."""
    for word in ("wrong", "refused"):
        if word in errors:
            return word
    return max(errors)


def certificate(what: str) -> str:
    """Return one table of the certificate: "worst", or the name of a function."""
    record = json.loads(CERTIFICATE.read_text())
    measured = record["measured"]
    names = list(measured[0]["errors"])
    heads = ["softmaxes" if name == "ours" else name for name in names]
    if what == "worst":
        groups = {}
        for m in measured:
            if m["dtype"] in ("float16", "float32", "float64"):
                groups.setdefault((m["function"], m["dtype"]), []).append(m)
        rows = [
            [f"`{function}`", dtype, f"{group[0]['promised']:g}"]
            + [ulp(worst([m["errors"][name] for m in group])) for name in names]
            for (function, dtype), group in sorted(groups.items(), key=lambda g: (FUNCTIONS.index(g[0][0]), g[0][1]))
        ]
        versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        drawn = table(["function", "type", "promised", *heads], rows, 2)
        return f"{drawn}\n\nMeasured on {record['machine']}, {versions}."
    rows = [
        [m["case"], m["dtype"], f"{m['promised']:g}", *(ulp(m["errors"][name]) for name in names)]
        for m in measured
        if m["function"] == what
    ]
    return table(["row", "type", "promised", *heads], rows, 2)


def seconds(value: float) -> str:
    """Return a time with its unit, three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}×"


def raced(record: dict) -> str:
    """Return the table of tasks that contenders ran in turn (python -m benchmarks, benchmarks.heads)."""
    results = [r for r in record["results"] if "times" in r]
    others = [r for r in record["results"] if "times" not in r]
    names = list(dict.fromkeys(name for r in results for name in r["times"]))
    limits, ratios = ("limit" in results[0], "ratio" in results[0])
    rows = []
    for r in results:
        row = [r["task"], *(seconds(r["times"][n]["median"] / 1e9) if n in r["times"] else "" for n in names)]
        if limits:
            row.append(seconds(r["limit"] / 1e9) if "limit" in r else "")
        if ratios:
            row.append(times(r.get("ratio")))
        rows.append(row)
    head = ["task", *names] + ["limit"] * limits + ["against the fastest peer"] * ratios
    return "\n\n".join([table(head, rows), *(anything({"results": [other]}) for other in others)])


def calibrated(record: dict) -> str:
    """Return the table of temperature fits (benchmarks/tasks/calibration.py)."""
    return table(
        ["logits", "softmaxes", "scikit-learn", "ratio", "error of softmaxes", "error of scikit-learn"],
        [
            [f"{line['rows']:,} × {line['classes']} {line['dtype']}"]
            + [seconds(line["seconds"][name]["median"]) for name in ("softmaxes", "scikit-learn")]
            + [times(line["ratio"]), f"{line['error']:.0e}", f"{line['error_scikit_learn']:.0e}"]
            for line in record["lines"]
        ],
    )


def fitted(record: dict) -> str:
    """Return the table of classifiers (benchmarks/tasks/classifier.py): the time to each relative suboptimality.

    In a cell our time and passes over the data, that of the best peer, and the ratio; > where no peer arrived.
    """
    levels = [key for key, value in record["rows"][0].items() if isinstance(value, dict) and "ratio" in value]

    def cell(at: dict) -> str:
        if at["ours"] is None:
            return "–"
        more = "> " if at["at_least"] else ""
        return f"{seconds(at['ours'])} ({at['passes']:.0f}) : {more}{seconds(at['peer'])}, {more}{times(at['ratio'])}"

    rows = [
        [
            f"{line['problem']}, {' × '.join(f'{size:,}' for size in line['shape'])}",
            *(cell(line[level]) for level in levels),
            f"{seconds(line['seconds'])} ({line['passes']:.0f})",
            f"{line['proven']:.0e}",
            f"{line['peak / X']:.2f} × {line['X bytes'] / 1e6:.3g} MB",
        ]
        for line in record["rows"]
    ]
    head = ["problem", *(f"to {level}" for level in levels), "whole fit", "proven", "peak memory"]
    note = "Seconds (passes over the data) of softmaxes : of the best peer, tuned to the level."
    return f"{note}\n\n{table(head, rows)}"


def counted(record: dict) -> str:
    """Return the table of instructions an entry (python -m benchmarks.instructions)."""
    counts = record["instructions an entry"]
    return table(["kernel", "instructions an entry"], [[kernel, f"{count:g}"] for kernel, count in counts.items()])


def sampled(record: dict) -> str:
    """Return the table of times an entry (benchmarks/tasks/sampling.py)."""
    lines, per = record["lines"], "nanoseconds an entry"
    names = list(dict.fromkeys(name for line in lines for name in line[per]))
    names.sort(key=lambda name: name == "limit")
    rows = []
    for line in lines:
        measured = [f"{line[per][name]['median']:.3g}" if name in line[per] else "" for name in names]
        rows.append([line["task"], *measured, ", ".join(times(ratio) for ratio in line["ratios"].values())])
    return "Nanoseconds an entry:\n\n" + table(["task", *names, "ratio"], rows)


def lines_of(record: dict) -> list[dict]:
    """Return the list of results in a record; none if it is one result by itself."""
    return next((v for v in record.values() if isinstance(v, list) and v and isinstance(v[0], dict)), [])


def anything(record: dict) -> str:
    """Return the table of results of any other form: every number, and the median of every spread."""
    lines = lines_of(record)
    cells = [{k: shown(v) for k, v in leaves(line)} for line in lines or [record]]
    if not lines:
        return table(["what", "value"], [[name, value] for name, value in cells[0].items()])
    head = list(dict.fromkeys(name for line in cells for name in line))
    return table(head, [[line.get(name, "") for name in head] for line in cells])


def shown(value: float | str) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", ",")


def leaves(value: dict, above: str = ""):
    """Yield (name, number or word) of nested results."""
    for key, inner in value.items():
        name = f"{above} {key}".strip()
        if isinstance(inner, dict) and "median" in inner:
            yield name, inner["median"]
        elif isinstance(inner, dict):
            yield from leaves(inner, name)
        elif isinstance(inner, (int, float, str)):
            yield name, inner


def drawing(record: dict):
    """Return the function that draws results of this form."""
    if "instructions an entry" in record:
        return counted
    first = next(iter(lines_of(record)), {})
    forms = {"times": raced, "nanoseconds an entry": sampled, "error_scikit_learn": calibrated, "proven": fitted}
    return next((draw for key, draw in forms.items() if key in first), anything)


def benchmark(path: Path) -> str:
    """Return the table of one file of results, and what it was measured on."""
    record = json.loads(path.read_text())
    drawn = drawing(record)
    if drawn is anything and not lines_of(record):
        return f"{drawn(record)}\n\nFrom `benchmarks/results/{path.name}`."
    about = {"means", "unit", "instructions an entry"}
    facts = {k: v for k, v in record.items() if k not in about and not isinstance(v, list)}
    about = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in flat(facts))
    means = "".join(f"\n- {group}: {mean:.2f}×" for group, mean in record.get("means", {}).items())
    means = means and f"\n\nGeometric means against the fastest peer of each row:\n{means}"
    return f"{drawn(record)}{means}\n\nFrom `benchmarks/results/{path.name}`: {about}."


def flat(facts: dict, above: str = ""):
    """Yield (name, value) of nested facts; versions and parts of the machine need no name above their own."""
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from flat(value, "" if key in ("machine", "versions") else f"{key}, ")
        elif value != "not installed":
            yield f"{above}{key}", value


def benchmarks() -> str:
    """Return all results, a section for each file."""
    return "\n\n".join(f"## {titled(path)}\n\n{benchmark(path)}" for path in sorted(RESULTS.glob("*.json")))


def titled(path: Path) -> str:
    return re.sub("[-_]", " ", path.stem).capitalize()


def setup(app):
    from sphinx.util.docutils import SphinxDirective

    class Certificate(SphinxDirective):
        required_arguments = 1

        def run(self):
            self.env.note_dependency(str(CERTIFICATE))
            return self.parse_text_to_nodes(certificate(self.arguments[0]))

    class Benchmarks(SphinxDirective):
        def run(self):
            self.env.note_reread()  # a new file of results is no change of an old one
            return self.parse_text_to_nodes(benchmarks(), allow_section_headings=True)

    app.add_directive("certificate", Certificate)
    app.add_directive("benchmarks", Benchmarks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

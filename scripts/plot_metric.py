"""One metric of a stage over its steps, as an SVG file for the docs.

python scripts/plot_metric.py runs/nano/pretrain loss "loss, nats a token" docs/images/nano-loss.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

from plaudit.evaluation.charts import line_chart
from plaudit.learning import read_metrics


def main() -> None:
    stage, metric, label, output = sys.argv[1:]
    points = [(line["step"], line[metric]) for line in read_metrics(Path(stage))]
    chart = line_chart({metric: points}, label=label, smooth_steps=50)
    Path(output).write_text(chart, encoding="utf-8")


if __name__ == "__main__":
    main()

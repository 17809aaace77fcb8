"""The verbs of training; what is slow to import is imported when its verb is called."""

from teacher.arguments import parse_arguments


def train(argv: list[str]) -> int:
    """Train a student on labelled shards."""
    from distill.train import TrainConfig
    from distill.train import train as run_training

    examples = """\
  potstill train --images photographs/ --labels labels/ --out runs/student --minutes 10
  potstill train --images shards/ --labels labels/ --out runs/student --steps 2000 --tasks '[depth]'
  potstill train --images shards/ --labels labels/ --out runs/student --steps 20000 --resume true"""
    config = parse_arguments(TrainConfig, argv, prog="potstill train", examples=examples)
    print(f"{run_training(config)}: student.safetensors, student.json, run.json, metrics/")
    return 0


def evaluate(argv: list[str]) -> int:
    """Score a teacher or a student against labels."""
    import json

    from distill.ceiling import ceiling_config
    from distill.evaluate import EvaluateConfig, evaluate_config, format_scores

    examples = """\
  potstill evaluate --labeller runs/student --images heldout/ --labels heldout/labels
  potstill evaluate --labeller teacher/embedded --images heldout/ --labels heldout/labels
  potstill evaluate --ceiling --labeller teacher/embedded --images held/ --labels held/labels"""
    config = parse_arguments(EvaluateConfig, argv, prog="potstill evaluate", examples=examples)
    scores = ceiling_config(config) if config.ceiling else evaluate_config(config)
    if config.out is not None:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(json.dumps(scores, indent=2) + "\n")
    print(format_scores(scores))
    return 0

"""Train the embedded default from Python and look at the result: what `physnet train` does, in a notebook's words.

python lab_scripts/train_default.py [--epochs N]
"""

import argparse

import physnet
from physnet.assembly import build_network, build_rule, load_samples, training_options
from physnet.baselines import raw_logistic_regression


def main() -> None:
    """Train, and print the test accuracy beside what logistic regression makes of the same samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    experiment = physnet.load_experiment(overrides=[f"training.epochs={arguments.epochs}"])
    samples, rule = load_samples(experiment), build_rule(experiment)
    network = build_network(experiment, samples.frame, rule)
    with network:
        trainer = physnet.Trainer(
            network,
            rule,
            samples.splits,
            classes=len(samples.frame.classes),
            options=training_options(experiment),
            seed=experiment.seed,
        )
        while trainer.epochs_done < arguments.epochs:
            record = trainer.step()
            if trainer.steps_done % trainer.steps_per_epoch == 0:
                losses = ", ".join(f"{loss:.3f}" for loss in record.metrics["loss"])
                print(f"epoch {trainer.epochs_done}: loss of each layer {losses}, {network.count.passes} passes")
        result = trainer.evaluate("test")
    print(f"test accuracy {result.accuracy:.2%}, each layer alone {[f'{a:.2%}' for a in result.layer_accuracy]}")
    print(f"without any physics {raw_logistic_regression(samples.splits):.2%} (logistic regression on the pixels)")


if __name__ == "__main__":
    main()
